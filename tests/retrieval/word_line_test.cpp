#include "graft/retrieval/word_line.hpp"

#include <fstream>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "retrieval/support.hpp"
#include "support/python.hpp"

namespace graft {
namespace {

TEST(WordLine, HasOneBlankBetweenWords) {
  EXPECT_EQ(word_line(""), "");
  EXPECT_EQ(word_line(" \t\n.,;!"), "");
  EXPECT_EQ(word_line("  Hello,\tWorld!\n"), "hello world");
  EXPECT_EQ(word_line("C++ snake_case e-mail 3.14"), "c snake case e mail 3 14");
}

TEST(WordLine, GivesPairsWhereNoBlanksAreWritten) {
  EXPECT_EQ(word_line("数据库"), "数据 据库");
  EXPECT_EQ(word_line("库"), "库");
  EXPECT_EQ(word_line("使用Python编程3回"), "使用 python 编程 3 回");
  EXPECT_EQ(word_line("新幹線に、乗る"), "新幹 幹線 線に 乗る");
  EXPECT_EQ(word_line("ข้าวผัด"), "ข้า าว วผั ผัด") << "a letter has its marks with it";
  EXPECT_EQ(word_line("한국어를"), "한국 국어 어를");
  EXPECT_EQ(word_line("ཀ་ཁ་ག"), "ཀ ཁ ག") << "Tibetan writes a point between syllables";
}

TEST(WordLine, FollowsItsRuleOnAnyText) {
  const TemporaryDirectory directory;
  run_python("word_line.py", {directory / "lines.jsonl"});
  std::ifstream lines(directory / "lines.jsonl");
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json row = parse_json(line, "lines.jsonl");
    ASSERT_EQ(word_line(row["text"].get<std::string>()), row["line"]) << row["text"];
  }
  EXPECT_EQ(count, 20'000u);
}

TEST(WordLine, TakesAnyBytesInTimeThatGrowsWithThem) {
  std::string marks = "a";
  for (int i = 0; i < 500'000; ++i) marks += i % 2 ? "\u0316" : "\u0301";  // two classes, in the wrong order
  EXPECT_EQ(word_line(marks), "a");
  std::string kept = "क";
  for (int i = 0; i < 500'000; ++i) kept += i % 2 ? "\u093c" : "\u094d";  // these stay, and are sorted
  EXPECT_EQ(word_line(kept).size(), kept.size());
  EXPECT_EQ(word_line("a\xff\xc3 b"), "a b");
}

}  // namespace
}  // namespace graft
