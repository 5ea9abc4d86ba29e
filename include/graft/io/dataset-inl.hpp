#pragma once

#include <algorithm>
#include <charconv>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/io/dataset.hpp"
#include "graft/io/lines.hpp"

namespace graft {

namespace detail {

/// The rows of one format.
class RowSource {
 public:
  virtual ~RowSource() = default;

  /// The next row, false at the end. Throws FormatError for a bad row; the next call goes on behind it.
  virtual bool next(DatasetRow& row) = 0;

  const std::vector<std::string>& header() const { return header_; }

 protected:
  std::vector<std::string> header_;
};

/// `there` as a list for a message: "a", "b" and 3 more.
GRAFT_INLINE std::string column_list(const std::vector<std::string>& there) {
  constexpr std::size_t shown = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(there.size(), shown); ++i) text += message(i ? ", " : "", quoted(there[i]));
  if (there.size() > shown) text += message(" and ", there.size() - shown, " more");
  return text;
}

GRAFT_INLINE bool is_blank(std::string_view line) { return line.find_first_not_of(" \t") == line.npos; }

class TextRows : public RowSource {
 public:
  TextRows(LineReader lines, const std::string& path, const std::vector<std::string>& columns)
      : lines_(std::move(lines)), width_(columns.size()) {
    for (const std::string& column : columns) {
      if (column == "text" || column == "0") continue;
      throw OptionError(message(path, ": has no column ", quoted(column), "; a text file has only \"text\""));
    }
  }

  bool next(DatasetRow& row) override {
    std::string line;
    do {
      if (!lines_.next(line)) return false;
    } while (is_blank(line));
    row.line = lines_.number();
    row.values.assign(width_, line);
    return true;
  }

 private:
  LineReader lines_;
  std::size_t width_;
};

class JsonlRows : public RowSource {
 public:
  JsonlRows(LineReader lines, std::vector<std::string> columns, const DatasetOptions& options)
      : lines_(std::move(lines)), columns_(std::move(columns)), options_(options) {}

  bool next(DatasetRow& row) override {
    std::string line;
    do {
      if (!lines_.next(line)) return false;
    } while (is_blank(line));
    const Json json = parse_json(line, lines_.where(), {.depth = 16, .bytes = options_.row_bytes});
    const JsonFields fields(json, lines_.where());
    if (json.size() > options_.fields) {
      throw FormatError(
          message(lines_.where(), ": has ", json.size(), " members, more than the limit of ", options_.fields));
    }
    row.line = lines_.number();
    row.values.clear();
    for (const std::string& column : columns_) {
      if (!json.contains(column)) missing(json, column);
      row.values.push_back(value_text(fields, column));
    }
    seen_ = true;
    return true;
  }

 private:
  [[noreturn]] void missing(const Json& json, const std::string& column) const {
    std::vector<std::string> there;
    for (const auto& [name, value] : json.items()) there.push_back(name);
    const std::string text =
        message(lines_.where(), ": has no column ", quoted(column), "; it has ", column_list(there));
    // In the first row the name asked for is wrong; later it is the row that is.
    if (!seen_) throw OptionError(text);
    throw FormatError(text);
  }

  static std::string value_text(const JsonFields& fields, const std::string& column) {
    const Json& value = fields.json()[column];
    if (value.is_string()) return value.get<std::string>();
    if (!value.is_number() && !value.is_boolean()) fields.fail(column, "a string, a number, true or false");
    return value.dump();
  }

  LineReader lines_;
  std::vector<std::string> columns_;
  DatasetOptions options_;
  bool seen_ = false;
};

/// CSV and TSV: records of fields, the first of which may be the header.
class DelimitedRows : public RowSource {
 public:
  bool next(DatasetRow& row) override {
    if (held_) {
      pick(std::exchange(held_, std::nullopt).value(), row);
      return true;
    }
    std::vector<std::string> fields;
    if (!record(fields)) return false;
    check_width(fields);
    pick(std::move(fields), row);
    return true;
  }

 protected:
  DelimitedRows(LineReader lines, const DatasetOptions& options) : lines_(std::move(lines)), options_(options) {}

  /// Reads the header, or the first row, and finds the columns. Called at the end of a derived constructor.
  void start(const std::string& path, const std::vector<std::string>& columns) {
    std::vector<std::string> first;
    if (!record(first)) throw FormatError(message(path, ": holds no rows; is it the right file?"));
    width_ = first.size();
    for (const std::string& column : columns) columns_.push_back(position(path, first, column));
    if (options_.header) {
      header_ = std::move(first);
    } else {
      held_ = std::move(first);
    }
  }

  /// One record that is not blank, its first line in first_line_; false at the end.
  virtual bool record(std::vector<std::string>& fields) = 0;

  void add_field(std::vector<std::string>& fields, std::string field) const {
    if (fields.size() == options_.fields) {
      throw FormatError(message(lines_.where(first_line_), ": has more fields than the limit of ", options_.fields));
    }
    fields.push_back(std::move(field));
  }

  LineReader lines_;
  DatasetOptions options_;
  std::uint64_t first_line_ = 0;

 private:
  std::size_t position(const std::string& path, const std::vector<std::string>& first,
                       const std::string& column) const {
    if (options_.header) {
      const auto place = std::find(first.begin(), first.end(), column);
      if (place != first.end()) {
        if (std::find(place + 1, first.end(), column) == first.end())
          return static_cast<std::size_t>(place - first.begin());
        throw OptionError(
            message(path, ": the header names ", quoted(column), " twice; ask for a column by its number"));
      }
    }
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(column.data(), column.data() + column.size(), number);
    if (error == std::errc() && end == column.data() + column.size() && number < first.size()) return number;
    throw OptionError(
        options_.header ? message(path, ": has no column ", quoted(column), "; it has ", column_list(first))
                        : message(path, ": has no column ", quoted(column), "; without a header columns are named by ",
                                  "number, here 0 to ", first.size() - 1));
  }

  void check_width(const std::vector<std::string>& fields) const {
    if (fields.size() == width_) return;
    throw FormatError(message(lines_.where(first_line_), ": has ", fields.size(), " fields, the first row has ", width_,
                              "; put a text that holds the separator in quotes"));
  }

  void pick(std::vector<std::string> fields, DatasetRow& row) const {
    row.line = first_line_;
    row.values.clear();
    for (const std::size_t column : columns_) row.values.push_back(fields[column]);
  }

  std::size_t width_ = 0;
  std::vector<std::size_t> columns_;              // positions of the columns asked for
  std::optional<std::vector<std::string>> held_;  // the first row of a file without a header
};

class TsvRows : public DelimitedRows {
 public:
  TsvRows(LineReader lines, const std::string& path, const std::vector<std::string>& columns,
          const DatasetOptions& options)
      : DelimitedRows(std::move(lines), options) {
    start(path, columns);
  }

 private:
  bool record(std::vector<std::string>& fields) override {
    std::string line;
    do {
      if (!lines_.next(line)) return false;
    } while (line.empty());
    first_line_ = lines_.number();
    for (std::size_t begin = 0; begin != line.npos;) {
      const std::size_t tab = line.find('\t', begin);
      add_field(fields, line.substr(begin, tab - begin));
      begin = tab == line.npos ? tab : tab + 1;
    }
    return true;
  }
};

class CsvRows : public DelimitedRows {
 public:
  CsvRows(LineReader lines, const std::string& path, const std::vector<std::string>& columns,
          const DatasetOptions& options, char separator)
      : DelimitedRows(std::move(lines), options), separator_(separator) {
    start(path, columns);
  }

  /// How the fields so far were written.
  bool any_quoted() const { return any_quoted_; }
  bool all_quoted() const { return all_quoted_; }
  bool any_doubled() const { return any_doubled_; }

 private:
  bool record(std::vector<std::string>& fields) override {
    do {
      if (!lines_.next(line_)) return false;
    } while (line_.empty());
    first_line_ = lines_.number();
    bytes_ = line_.size();
    for (at_ = 0;; ++at_) {
      const bool is_quoted = at_ < line_.size() && line_[at_] == '"';
      any_quoted_ |= is_quoted;
      all_quoted_ &= is_quoted;
      add_field(fields, is_quoted ? quoted_field() : plain_field());
      if (at_ == line_.size()) return true;
    }
  }

  std::string plain_field() {
    const std::size_t end = std::min(line_.find(separator_, at_), line_.size());
    const std::string_view field = std::string_view(line_).substr(at_, end - at_);
    if (const std::size_t quote = field.find('"'); quote != field.npos) {
      throw FormatError(message(lines_.where(), ", byte ", at_ + quote,
                                ": a quote in a field that does not begin with one; put the field in "
                                "quotes and double those inside"));
    }
    at_ = end;
    return std::string(field);
  }

  /// The field whose opening quote is at at_, over as many lines as it has. Ends at the separator or the line's end.
  std::string quoted_field() {
    std::string field;
    ++at_;
    while (true) {
      const std::size_t quote = line_.find('"', at_);
      field.append(line_, at_, quote - at_);
      if (quote == line_.npos) {
        field.append(lines_.end());
        next_line();
      } else if (quote + 1 < line_.size() && line_[quote + 1] == '"') {
        field += '"';
        any_doubled_ = true;
        at_ = quote + 2;
      } else {
        at_ = quote + 1;
        if (at_ == line_.size() || line_[at_] == separator_) return field;
        throw FormatError(message(lines_.where(), ", byte ", at_,
                                  ": text after the closing quote of a field; double quotes inside it"));
      }
    }
  }

  void next_line() {
    const bool more = lines_.next(line_);
    bytes_ += line_.size();
    at_ = 0;
    if (more && bytes_ <= options_.row_bytes) return;
    throw FormatError(
        message(lines_.where(first_line_), ": a quoted field is still open ",
                more ? message("after ", options_.row_bytes, " bytes, the limit of a row") : "at the end of the file",
                "; close it, and double a quote that is text"));
  }

  char separator_;
  std::string line_;
  std::size_t at_ = 0;     // in line_
  std::size_t bytes_ = 0;  // of the record so far
  bool any_quoted_ = false, all_quoted_ = true, any_doubled_ = false;
};

/// What `rows()` opens, read to its end; nothing if that fails.
template <class Rows>
auto read_through(const Rows& rows) -> std::optional<decltype(rows())> {
  try {
    auto source = rows();
    for (DatasetRow row; source.next(row);) continue;
    return source;
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// Whether a TSV file has its fields in quotes, as pandas and spreadsheets write those that hold a quote, a tab or a
/// line end: all of it can be read so, and it cannot be read otherwise, or it doubles quotes, or quotes every field.
GRAFT_INLINE bool is_quoted_tsv(const std::filesystem::path& path, const std::vector<std::string>& columns,
                                const DatasetOptions& options) {
  const auto lines = [&] { return LineReader(path, options.row_bytes); };
  const auto as_csv = read_through([&] { return CsvRows(lines(), path.native(), columns, options, '\t'); });
  if (!as_csv || !as_csv->any_quoted()) return false;
  return as_csv->all_quoted() || as_csv->any_doubled() ||
         !read_through([&] { return TsvRows(lines(), path.native(), columns, options); });
}

/// What separates the fields: a semicolon where spreadsheets write it, in countries whose numbers have commas. The
/// first record tells, by what of it stands outside quotes.
GRAFT_INLINE char csv_separator(const std::filesystem::path& path, const DatasetOptions& options) {
  bool is_quoted = false, any = false;
  std::size_t bytes = 0;
  try {
    LineReader lines(path, options.row_bytes);
    for (std::string line; bytes <= options.row_bytes && lines.next(line); bytes += line.size()) {
      for (const char c : line) {
        if (c == '"') is_quoted = !is_quoted;
        if (c == ',' && !is_quoted) return ',';
        any |= c == ';' && !is_quoted;
      }
      if (!line.empty() && !is_quoted) break;
    }
  } catch (const FormatError&) {
    return ',';  // the reader says what is wrong
  }
  return any ? ';' : ',';
}

GRAFT_INLINE DatasetFormat format_of(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".jsonl" || ending == ".ndjson") return DatasetFormat::jsonl;
  if (ending == ".csv") return DatasetFormat::csv;
  if (ending == ".tsv") return DatasetFormat::tsv;
  if (ending == ".txt") return DatasetFormat::text;
  throw OptionError(message(path.native(), ": the ending ", quoted(ending),
                            " names no format; known are .jsonl, .ndjson, .csv, .tsv, .txt; or name the format"));
}

GRAFT_INLINE std::unique_ptr<RowSource> open_rows(const std::filesystem::path& path, std::vector<std::string> columns,
                                                  const DatasetOptions& options) {
  LineReader lines(path, options.row_bytes);
  switch (options.format ? *options.format : format_of(path)) {
    case DatasetFormat::jsonl:
      return std::make_unique<JsonlRows>(std::move(lines), std::move(columns), options);
    case DatasetFormat::csv:
      return std::make_unique<CsvRows>(std::move(lines), path.native(), columns, options, csv_separator(path, options));
    case DatasetFormat::tsv:
      if (is_quoted_tsv(path, columns, options))
        return std::make_unique<CsvRows>(std::move(lines), path.native(), columns, options, '\t');
      return std::make_unique<TsvRows>(std::move(lines), path.native(), columns, options);
    case DatasetFormat::text:
      break;
  }
  return std::make_unique<TextRows>(std::move(lines), path.native(), columns);
}

}  // namespace detail

GRAFT_INLINE DatasetReader::DatasetReader(const std::filesystem::path& path, std::vector<std::string> columns,
                                          const DatasetOptions& options)
    : path_(path.native()), options_(options), source_(detail::open_rows(path, std::move(columns), options)) {}

GRAFT_INLINE DatasetReader::DatasetReader(DatasetReader&&) noexcept = default;
GRAFT_INLINE DatasetReader::~DatasetReader() = default;

GRAFT_INLINE bool DatasetReader::next(DatasetRow& row) {
  while (true) {
    try {
      if (!source_->next(row)) break;
      if (++rows_ <= options_.rows) return true;
    } catch (const FormatError& fault) {
      if (!options_.skip_bad_rows) throw;
      ++skipped_;
      if (faults_.size() < 20) faults_.push_back(fault.what());
      continue;
    }
    throw FormatError(message(path_, ": has more rows than the limit of ", options_.rows));
  }
  if (rows_ > 0) return false;
  throw FormatError(message(
      path_, ": holds no rows",
      skipped_ > 0 ? message(" but ", skipped_, " bad ones; the first: ", faults_[0]) : "; is it the right file?"));
}

GRAFT_INLINE const std::vector<std::string>& DatasetReader::header() const { return source_->header(); }

GRAFT_INLINE Dataset read_dataset(const std::filesystem::path& path, const std::vector<std::string>& columns,
                                  const DatasetOptions& options) {
  DatasetReader reader(path, columns, options);
  Dataset dataset;
  for (DatasetRow row; reader.next(row);) dataset.rows.push_back(std::move(row));
  dataset.skipped = reader.skipped();
  dataset.faults = reader.faults();
  return dataset;
}

}  // namespace graft
