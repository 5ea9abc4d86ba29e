// graft's JSON, CSV and TSV against Python's. The references are written by tests/reference/data_parity.py, whose first
// lines explain the files.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/io/dataset.hpp"
#include "parity/tokenizer_reference.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

std::vector<std::string> reference(const std::string& name) { return read_texts(GRAFT_REFERENCE "/data/" + name); }

TEST(DataParity, JsonIsPythons) {
  const std::vector<std::string> texts = reference("json.texts"), values = reference("json.values");
  std::size_t taken = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::string got;
    try {
      got = json_text(parse_json(texts[i], "text"));
    } catch (const FormatError&) {
    }
    ASSERT_EQ(got, values[i]) << shown(texts[i]);
    taken += got.empty() ? 0 : 1;
  }
  EXPECT_GT(taken, 1500u);
  EXPECT_GT(texts.size() - taken, 1000u);
}

// graft refuses more than Python, and says why: rows of several widths, a quote within a field that does not begin with
// one.
TEST(DataParity, CsvAndTsvArePythons) {
  using Rows = std::vector<std::vector<std::string>>;
  const std::vector<std::string> texts = reference("delimited.texts"), expected = reference("delimited.rows");
  const TemporaryDirectory directory;
  std::size_t taken = 0, broken = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Json rows = Json::parse(expected[2 * i + 1]);
    const std::filesystem::path path = directory / ("data." + expected[2 * i]);
    std::ofstream(path, std::ios::binary) << texts[i];
    std::vector<std::string> columns;
    for (std::size_t column = 0; column < (rows.empty() ? 1 : rows[0].size()); ++column)
      columns.push_back(std::to_string(column));
    Rows got;
    std::string error;
    try {
      for (DatasetRow& row : read_dataset(path, columns, {.header = false}).rows) got.push_back(std::move(row.values));
    } catch (const FormatError& fault) {
      error = fault.what();
    }
    const bool more = error.find("fields, the first row has") != error.npos ||
                      error.find("a quote in a field") != error.npos || error.find("holds no rows") != error.npos;
    if (error.empty()) {
      ASSERT_EQ(Json(got), rows) << shown(texts[i]);
    } else {
      ASSERT_TRUE(rows.is_null() || more) << shown(texts[i]) << "\n" << error;
    }
    taken += error.empty() ? 1 : 0;
    broken += rows.is_null() ? 1 : 0;
  }
  EXPECT_GT(taken, 1500u);
  EXPECT_GT(broken, 300u);
}

}  // namespace
}  // namespace graft
