#include "graft/io/dataset.hpp"

#include "fuzz/fuzz.hpp"

namespace graft::fuzzing::dataset {

namespace {

/// RFC 4180 with every field in quotes.
std::string quoted_rows(const std::vector<DatasetRow>& rows, char separator) {
  std::string out;
  for (const DatasetRow& row : rows) {
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      if (i > 0) out += separator;
      out += '"';
      for (const char c : row.values[i]) out.append(c == '"' ? 2 : 1, c);
      out += '"';
    }
    out += '\n';
  }
  return out;
}

void check_same(const std::vector<DatasetRow>& a, const std::vector<DatasetRow>& b) {
  check(a.size() == b.size(), "a row is lost or added by writing and reading");
  for (std::size_t i = 0; i < a.size(); ++i) check(a[i].values == b[i].values, "a row reads otherwise after writing");
}

}  // namespace

/// The first byte says how the rest, a data set, is read. Its rows come back from CSV and TSV in quotes.
void fuzz(std::string_view input) {
  const unsigned choice = cut_byte(input);
  constexpr DatasetFormat formats[] = {DatasetFormat::jsonl, DatasetFormat::csv, DatasetFormat::tsv,
                                       DatasetFormat::text};
  const DatasetFormat format = formats[choice % 4];
  const bool two = (choice & 4) != 0, by_name = format == DatasetFormat::jsonl || (choice & 8) != 0;
  std::vector<std::string> columns{by_name ? "text" : "0"};
  if (two) columns.push_back(by_name && format != DatasetFormat::text ? "label" : "0");
  const DatasetOptions options{
      .format = format, .header = by_name, .skip_bad_rows = (choice & 16) != 0, .row_bytes = 4096, .fields = 64};
  const Dataset data = read_dataset(file_of(input), columns, options);
  for (const DatasetRow& row : data.rows) check(row.values.size() == columns.size(), "a row lacks a column");
  std::vector<std::string> places{"0"};
  if (two) places.push_back("1");
  // Only JSON has a way to write NUL.
  if (format == DatasetFormat::jsonl && input.find("\\u0000") != input.npos) return;
  for (const DatasetFormat written : {DatasetFormat::csv, DatasetFormat::tsv})
    must("rows cannot be read after writing", [&] {
      const auto path = file_of(quoted_rows(data.rows, written == DatasetFormat::csv ? ',' : '\t'), "written");
      check_same(data.rows, read_dataset(path, places, {.format = written, .header = false}).rows);
    });
}

}  // namespace graft::fuzzing::dataset
