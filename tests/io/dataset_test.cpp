#include "graft/io/dataset.hpp"
#include "graft/core/output.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

using Strings = std::vector<std::string>;

struct Input {
  std::string name;
  std::string content;
  Strings columns;
  DatasetOptions options = {};
};

Dataset read(const Input& input) {
  const TemporaryDirectory directory;
  write_file(directory / input.name, input.content);
  return read_dataset(directory / input.name, input.columns, input.options);
}

/// "line|value|value" of each row.
Strings rows(const Input& input) {
  Strings result;
  for (const DatasetRow& row : read(input).rows) {
    std::string text = std::to_string(row.line);
    for (const std::string& value : row.values) text.append("|").append(value);
    result.push_back(text);
  }
  return result;
}

std::string read_error(const Input& input) {
  const TemporaryDirectory directory;
  write_file(directory / input.name, input.content);
  return replaced(error_message([&] { read_dataset(directory / input.name, input.columns, input.options); }),
                  directory.path().string(), "D");
}

TEST(ReadDataset, GivesRowsOfEveryFormat) {
  const Strings expected = {"2|good|1", "3|bad|0"};
  const Strings columns = {"text", "label"};
  EXPECT_EQ(rows({"a.csv", "label,text\n1,good\n0,bad\n", columns}), expected);
  EXPECT_EQ(rows({"a.tsv", "label\ttext\n1\tgood\n0\tbad\n", columns}), expected);
  EXPECT_EQ(rows({"a.jsonl", "\n{\"text\":\"good\",\"label\":1}\n{\"label\":\"0\",\"text\":\"bad\"}\n", columns}),
            expected);
  EXPECT_EQ(rows({"a.txt", "good\n\nbad", {"text"}}), (Strings{"1|good", "3|bad"}));
}

TEST(ReadDataset, AcceptsByteOrderMarkCrlfAndAMissingLastEnd) {
  const std::string bom = "\xEF\xBB\xBF";
  EXPECT_EQ(rows({"a.csv", bom + "a,b\r\n1,2\r\n\r\n3,4", {"a", "b"}}), (Strings{"2|1|2", "4|3|4"}));
  EXPECT_EQ(rows({"a.tsv", bom + "a\tb\r\n1\t2\r\n\r\n3\t4", {"a", "b"}}), (Strings{"2|1|2", "4|3|4"}));
  EXPECT_EQ(rows({"a.jsonl", bom + "{\"a\":1}\r\n{\"a\":2.5}", {"a"}}), (Strings{"1|1", "2|2.5"}));
  EXPECT_EQ(rows({"a.txt", bom + "x\r\n\r\ny", {"text"}}), (Strings{"1|x", "3|y"}));
}

TEST(ReadDataset, CsvQuotesHoldCommasLineEndsAndQuotes) {
  EXPECT_EQ(rows({"a.csv", "a,b\n\"x, \"\"y\"\"\",1\n\"two\nlines\r\n\",\"\"\n,\nlast,\"2\"", {"a", "b"}}),
            (Strings{"2|x, \"y\"|1", "3|two\nlines\r\n|", "6||", "7|last|2"}));
}

TEST(ReadDataset, TsvQuotesArePlainCharacters) {
  EXPECT_EQ(rows({"a.tsv", "a\tb\n\"x\t''\n", {"b", "a"}}), (Strings{"2|''|\"x"}));
}

// pandas quotes what holds a quote, a tab or a line end, and doubles the quotes inside.
TEST(ReadDataset, TsvIsQuotedWhereAllOfItIs) {
  const Strings ab = {"a", "b"};
  EXPECT_EQ(rows({"a.tsv", "a\tb\nx\t1\n\"say \"\"so\"\"\"\t2\n", ab}), (Strings{"2|x|1", "3|say \"so\"|2"}));
  EXPECT_EQ(rows({"a.tsv", "a\tb\n\"two\nlines\"\t1\n", ab}), (Strings{"2|two\nlines|1"}));
  EXPECT_EQ(rows({"a.tsv", "a\tb\n\"a\ttab\"\t1\n", ab}), (Strings{"2|a\ttab|1"}));
  EXPECT_EQ(rows({"a.tsv", "\"a\"\t\"b\"\r\n\"x\"\t\"1\"\r\n", ab}), (Strings{"2|x|1"}));
  EXPECT_EQ(rows({"a.tsv", "\"a\"\n\"two\nlines\"\n", {"a"}}), (Strings{"2|two\nlines"}));
  // An author's own quotes.
  EXPECT_EQ(rows({"a.tsv", "a\tb\n\"Great!\"\t1\nit \"works\"\t2\n", ab}),
            (Strings{"2|\"Great!\"|1", "3|it \"works\"|2"}));
  EXPECT_EQ(rows({"a.tsv", "a\tb\n\"Great!\"\t1\n", ab}), (Strings{"2|\"Great!\"|1"}));
}

TEST(ReadDataset, CsvHasSemicolonsWhereItsFirstLineHas) {
  EXPECT_EQ(rows({"a.csv", "a;b\n1,5;\"x;y\"\n", {"a", "b"}}), (Strings{"2|1,5|x;y"}));
  EXPECT_EQ(rows({"a.csv", "a,b;c\n1,2\n", {"b;c"}}), (Strings{"2|2"}));
}

TEST(ReadDataset, CsvSeparatorsInQuotesDoNotTell) {
  EXPECT_EQ(rows({"a.csv", "\"a;\nb\",c\n1,2\n", {"a;\nb", "c"}}), (Strings{"3|1|2"}));
  EXPECT_EQ(rows({"a.csv", "\"a, b\";c\n1;2\n", {"a, b", "c"}}), (Strings{"2|1|2"}));
  EXPECT_EQ(rows({"a.csv", "\"a;b\"\n\"1\"\n", {"a;b"}}), (Strings{"2|1"}));
}

TEST(ReadDataset, ColumnsGoByNumberToo) {
  EXPECT_EQ(rows({"a.csv", "x,y\n1,2\n", {"1", "x"}}), (Strings{"2|2|1"}));
  EXPECT_EQ(rows({"a.csv", "x,y\n1,2\n", {"1", "0"}, {.header = false}}), (Strings{"1|y|x", "2|2|1"}));
  EXPECT_EQ(rows({"a.data", "1 2\n", {"0"}, {.format = DatasetFormat::text}}), (Strings{"1|1 2"}));
}

TEST(ReadDataset, HeaderNamesAllColumns) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "a.csv") << "x,\"y, z\",x\n1,2,3\n";
  std::ofstream(directory / "a.jsonl") << "{\"x\": 1}\n";
  EXPECT_EQ(DatasetReader(directory / "a.csv", {}).header(), (Strings{"x", "y, z", "x"}));
  EXPECT_EQ(DatasetReader(directory / "a.csv", {"0"}, {.header = false}).header(), Strings());
  EXPECT_EQ(DatasetReader(directory / "a.jsonl", {"x"}).header(), Strings());
}

TEST(ReadDataset, ReadsTheReviews) {
  const Dataset reviews = read_dataset(GRAFT_DEPS "/reviews/movieReviewSnippets_GroundTruth.txt", {"0", "1", "2"},
                                       {.format = DatasetFormat::tsv, .header = false});
  ASSERT_EQ(reviews.rows.size(), 10605u);
  EXPECT_EQ(reviews.rows[0].values[0], "1");
  EXPECT_EQ(reviews.rows[0].values[1], "2.26666666667");
  EXPECT_TRUE(reviews.rows[0].values[2].starts_with("The Rock is destined"));
  EXPECT_TRUE(reviews.rows[0].values[2].ends_with("Steven Segal."));
  EXPECT_EQ(reviews.rows.back().line, 10605u);
}

TEST(ReadDataset, EveryBadInputGetsItsMessage) {
  const DatasetOptions tiny{.row_bytes = 20, .fields = 3, .rows = 2};
  const struct {
    Input input;
    std::string error;
  } table[] = {
      {{"a.csv", "", {"a"}}, "FormatError: D/a.csv: holds no rows; is it the right file?"},
      {{"a.csv", "a,b\n", {"a"}}, "FormatError: D/a.csv: holds no rows; is it the right file?"},
      {{"a.jsonl", "\n \n", {"a"}}, "FormatError: D/a.jsonl: holds no rows; is it the right file?"},
      {{"a.txt", "\xEF\xBB\xBF\n", {"text"}}, "FormatError: D/a.txt: holds no rows; is it the right file?"},
      {{"a.parquet", "x", {"a"}},
       "OptionError: D/a.parquet: the ending \".parquet\" names no format; known are .jsonl, .ndjson, .csv, .tsv, "
       ".txt; or name the format"},
      {{"a.csv", "text,label\nx,1\n", {"text", "lable"}},
       "OptionError: D/a.csv: has no column \"lable\"; it has \"text\", \"label\""},
      {{"a.csv", "text,label\nx,1\n", {"2"}}, "OptionError: D/a.csv: has no column \"2\"; it has \"text\", \"label\""},
      {{"a.tsv", "x\t1\n", {"label"}, {.header = false}},
       "OptionError: D/a.tsv: has no column \"label\"; without a header columns are named by number, here 0 to 1"},
      {{"a.csv", "a,a\n1,2\n", {"a"}},
       "OptionError: D/a.csv: the header names \"a\" twice; ask for a column by its number"},
      {{"a.txt", "x\n", {"label"}}, "OptionError: D/a.txt: has no column \"label\"; a text file has only \"text\""},
      {{"a.jsonl", "{\"text\":\"x\",\"label\":1}\n", {"lable"}},
       "OptionError: D/a.jsonl, line 1: has no column \"lable\"; it has \"label\", \"text\""},
      {{"a.jsonl", "{\"text\":\"x\"}\n{\"txt\":\"x\"}\n", {"text"}},
       "FormatError: D/a.jsonl, line 2: has no column \"text\"; it has \"txt\""},
      {{"a.jsonl", "{\"text\":\"x\"}\n{\"text\":null}\n", {"text"}},
       "FormatError: D/a.jsonl, line 2: \"text\" is null, but must be a string, a number, true or false"},
      {{"a.jsonl", "{\"text\":[\"x\"]}\n", {"text"}},
       "FormatError: D/a.jsonl, line 1: \"text\" is an array of 1, but must be a string, a number, true or false"},
      {{"a.jsonl", "{\"text\":\"x\"}\n[1]\n", {"text"}},
       "FormatError: D/a.jsonl, line 2: is an array of 1, but must be a JSON object"},
      {{"a.jsonl", "{\"text\":\"x\",\"text\":\"y\"}\n", {"text"}},
       "FormatError: D/a.jsonl, line 1: the key \"text\" is repeated in one object"},
      {{"a.jsonl", "{\"text\":\"x\"} {}\n", {"text"}},
       "FormatError: D/a.jsonl, line 1, byte 13: not valid JSON: syntax error while parsing value - unexpected '{'; "
       "expected end of input"},
      {{"a.jsonl", "{\"t\":" + std::string(20, '[') + "\n", {"t"}},
       "FormatError: D/a.jsonl, line 1: nested deeper than 16 levels"},
      {{"a.csv", "a,b\n1,2,3\n", {"a"}},
       "FormatError: D/a.csv, line 2: has 3 fields, the first row has 2; put a text that holds the separator in "
       "quotes"},
      {{"a.tsv", "a\tb\n1\n", {"a"}},
       "FormatError: D/a.tsv, line 2: has 1 fields, the first row has 2; put a text that holds the separator in "
       "quotes"},
      {{"a.csv", "a,b\n1,x\"y\n", {"a"}},
       "FormatError: D/a.csv, line 2, byte 3: a quote in a field that does not begin with one; put the field in quotes "
       "and double those inside"},
      {{"a.csv", "a,b\n1,\"x\"y\n", {"a"}},
       "FormatError: D/a.csv, line 2, byte 5: text after the closing quote of a field; double quotes inside it"},
      {{"a.csv", "a,b\n1,\"x\ny\n", {"a"}},
       "FormatError: D/a.csv, line 2: a quoted field is still open at the end of the file; close it, and double a "
       "quote that is text"},
      {{"a.csv", "a,b\n1,\"x\n" + std::string(15, 'y') + "\nzzzz\n", {"a"}, tiny},
       "FormatError: D/a.csv, line 2: a quoted field is still open after 20 bytes, the limit of a row; close it, and "
       "double a quote that is text"},
      {{"a.csv", "a,b,c,d\n", {"a"}, tiny}, "FormatError: D/a.csv, line 1: has more fields than the limit of 3"},
      {{"a.jsonl", "{\"a\":1,\"b\":1,\"c\":1,\"d\":1}\n", {"a"}, {.fields = 3}},
       "FormatError: D/a.jsonl, line 1: has 4 members, more than the limit of 3"},
      {{"a.txt", "x\n" + std::string(21, 'y'), {"text"}, tiny},
       "FormatError: D/a.txt, line 2: longer than the limit of 20 bytes"},
      {{"a.txt", "x\ny\nz\n", {"text"}, tiny}, "FormatError: D/a.txt: has more rows than the limit of 2"},
      {{"a.txt", "x\nab\xE9t\xE9\n", {"text"}},
       "FormatError: D/a.txt, line 2, byte 2: not UTF-8; convert the file to UTF-8"},
      {{"a.txt", std::string("x\0\n", 3), {"text"}},
       "FormatError: D/a.txt, line 1, byte 1: not UTF-8; convert the file to UTF-8"},
      {{"a.txt", "\xED\xA0\x80", {"text"}},
       "FormatError: D/a.txt, line 1, byte 0: not UTF-8; convert the file to UTF-8"},
      {{"a.txt", "\xF4\x90\x80\x80", {"text"}},
       "FormatError: D/a.txt, line 1, byte 0: not UTF-8; convert the file to UTF-8"},
      {{"a.txt", "\xC0\xAF", {"text"}}, "FormatError: D/a.txt, line 1, byte 0: not UTF-8; convert the file to UTF-8"},
      {{"a.txt", "\xE2\x82", {"text"}}, "FormatError: D/a.txt, line 1, byte 0: not UTF-8; convert the file to UTF-8"},
      {{"a.tsv", "a\tb\nx\n\xFF\ty\n", {"a"}, {.skip_bad_rows = true}},
       "FormatError: D/a.tsv: holds no rows but 2 bad ones; the first: D/a.tsv, line 2: has 1 fields, the "
       "first row has 2; put a text that holds the separator in quotes"},
  };
  for (const auto& [input, error] : table) EXPECT_EQ(read_error(input), error) << input.content;
}

TEST(ReadDataset, SkipsAndCountsBadRows) {
  const Dataset data = read({"a.csv", "a,b\n1,2\n3\n4,\"x\"y\n5,6\n7,\xFF\n8,9\n", {"a"}, {.skip_bad_rows = true}});
  ASSERT_EQ(data.rows.size(), 3u);
  EXPECT_EQ(data.rows[1].values[0], "5");
  EXPECT_EQ(data.rows[2].line, 7u);
  EXPECT_EQ(data.skipped, 3u);
  ASSERT_EQ(data.faults.size(), 3u);
  EXPECT_NE(
      data.faults[0].find("line 3: has 1 fields, the first row has 2; put a text that holds the separator in quotes"),
      std::string::npos);
}

TEST(ReadDataset, DamagedFilesNeverCrash) {
  const struct {
    DatasetFormat format;
    std::string sound;
  } files[] = {
      {DatasetFormat::csv, "a,b\r\n\"x, \"\"y\"\"\",1\n\"two\nlines\",2\n\xC3\xA9,3\n"},
      {DatasetFormat::tsv, "a\tb\n1\t2\r\n\xE2\x82\xAC\t4\n"},
      {DatasetFormat::jsonl, "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"\\u00e9\",\"a\":true}\n"},
  };
  const TemporaryDirectory directory;
  std::mt19937_64 random(4);
  std::uint64_t sound_rows = 0, bad_rows = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto& [format, sound] = files[round % 3];
    std::string damaged = sound;
    for (int i = round % 4; i > 0; --i) damaged[random() % damaged.size()] = ",\"\n\r\t{}[]\\x\xFF"[random() % 12];
    std::ofstream(directory / "a", std::ios::binary) << damaged;
    try {
      const Dataset data = read_dataset(directory / "a", {"a", "b"}, {.format = format, .skip_bad_rows = true});
      sound_rows += data.rows.size();
      bad_rows += data.skipped;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(sound_rows, 1000u);
  EXPECT_GT(bad_rows, 500u);
}

TEST(DatasetReader, GoesOnBehindABadRow) {
  const TemporaryDirectory directory;
  write_file(directory / "a.txt", std::string(30, 'x') + "\ngood\n");
  DatasetReader reader(directory / "a.txt", {"text"}, {.row_bytes = 20});
  DatasetRow row;
  EXPECT_THROW(reader.next(row), FormatError);
  EXPECT_TRUE(reader.next(row));
  EXPECT_EQ(row.values[0], "good");
  EXPECT_EQ(row.line, 2u);
  EXPECT_FALSE(reader.next(row));
}

TEST(DatasetReader, LinesMayLieAcrossTheReadingBuffer) {
  const TemporaryDirectory directory;
  std::string content;
  for (int i = 0; i < 3000; ++i)
    content += message(i, ' ', std::string(static_cast<std::size_t>(i) % 700, 'x'), "\r\n");
  write_file(directory / "a.txt", content);
  DatasetReader reader(directory / "a.txt", {"text"});
  int i = 0;
  for (DatasetRow row; reader.next(row); ++i) {
    EXPECT_EQ(row.values[0], message(i, ' ', std::string(static_cast<std::size_t>(i) % 700, 'x')));
  }
  EXPECT_EQ(i, 3000);
}

}  // namespace
}  // namespace graft
