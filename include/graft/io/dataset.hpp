#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/core/mode.hpp"

namespace graft {

namespace detail {
class RowSource;
}

/// How rows lie in a file. In all four a line ends with LF or CRLF, the last one may have no end, a byte order mark at
/// the start is skipped, and blank lines are no rows.
enum class DatasetFormat {
  jsonl,  ///< a JSON object a line: .jsonl, .ndjson
  csv,    ///< RFC 4180: commas; a field in quotes may hold commas, line ends and doubled quotes: .csv. Semicolons where
          ///< the first row has no comma outside quotes
  tsv,    ///< tabs; quotes are plain characters, no field holds a tab or a line end: .tsv. Unless the whole file is
          ///< quoted as CSV is: then it is read so
  text,   ///< a line is a row of one column, "text": .txt
};

struct DatasetOptions {
  std::optional<DatasetFormat> format = {};  ///< by the ending of the file's name unless given
  bool header = true;                        ///< CSV and TSV: whether the first row names the columns
  bool skip_bad_rows = false;                ///< count them instead of throwing
  std::size_t row_bytes = 16 << 20;          ///< the longest row
  std::size_t fields = 4096;                 ///< columns of a row
  std::uint64_t rows = 1'000'000'000;        ///< rows of a file
};

/// A row: its values in the order in which the columns were asked for, and where it begins.
struct DatasetRow {
  std::uint64_t line = 0;  ///< in the file, counted from 1
  std::vector<std::string> values;
};

/// Reads the asked-for columns of a file row by row, in constant memory.
///
///     DatasetReader reader("train.tsv", {"text", "label"});
///     for (DatasetRow row; reader.next(row);) use(row.values[0], row.values[1]);
///
/// A column is named as the header, or the row's JSON object, names it; in CSV and TSV also by its number from 0, which
/// is the only way without a header. A JSON number or boolean is given as JSON writes it. Text is UTF-8. Rows that are
/// not, that break the format, lack a column, exceed a limit or, in CSV and TSV, have another number of fields than the
/// first, are bad: a FormatError with file, line and, where one is at fault, byte of the line (from 0), or with
/// skip_bad_rows skipped and counted.
class DatasetReader {
 public:
  /// Throws FileError if the file cannot be read, OptionError if a column is not there (naming those that are), named
  /// twice in the header, or if the ending names no format; FormatError if the first row is bad or there is none.
  DatasetReader(const std::filesystem::path& path, std::vector<std::string> columns,
                const DatasetOptions& options = {});
  DatasetReader(DatasetReader&&) noexcept;
  ~DatasetReader();

  /// The next row; false at the end. Throws FormatError for a bad row (the next call goes on behind it), for more rows
  /// than the limit, and at the end of a file without a single good row.
  bool next(DatasetRow& row);

  /// All columns that the header of CSV or TSV names, in its order; of other formats and without a header, none.
  const std::vector<std::string>& header() const;

  /// Bad rows so far, and what was wrong with the first twenty.
  std::uint64_t skipped() const { return skipped_; }
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  std::string path_;
  DatasetOptions options_;
  std::unique_ptr<detail::RowSource> source_;
  std::uint64_t rows_ = 0;
  std::uint64_t skipped_ = 0;
  std::vector<std::string> faults_;
};

/// A whole file in memory, as DatasetReader reads it.
struct Dataset {
  std::vector<DatasetRow> rows;
  std::uint64_t skipped = 0;
  std::vector<std::string> faults;  ///< of the first twenty skipped rows
};

Dataset read_dataset(const std::filesystem::path& path, const std::vector<std::string>& columns,
                     const DatasetOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/dataset-inl.hpp"
#endif
