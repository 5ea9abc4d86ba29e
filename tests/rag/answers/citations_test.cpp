#include <gtest/gtest.h>

#include <random>

#include "graft/rag/citations.hpp"

namespace graft {
namespace {

struct Read {
  std::string text;
  std::vector<Citation> citations;
  std::vector<std::string> unknown;
};

/// Reads in pieces of `size` bytes and checks that what was given on the way is the text.
Read read(const std::string& written, std::size_t size, const std::set<std::size_t>& numbers = {1, 2, 3}) {
  CitationReader reader(numbers);
  std::string given;
  for (std::size_t at = 0; at < written.size(); at += size) given += reader.add(written.substr(at, size));
  given += reader.finish();
  EXPECT_EQ(given, reader.text());
  return {reader.text(), reader.citations(), reader.unknown()};
}

TEST(CitationReader, MapsMarksAndTakesOutThoseThatNameNothing) {
  const struct {
    std::string written, text;
    std::vector<std::pair<std::size_t, std::string>> citations;  // number, mark
    std::vector<std::string> unknown;
  } rows[] = {
      {"Plain text.", "Plain text.", {}, {}},
      {"One [1]. Two[2].", "One [1]. Two[2].", {{1, "[1]"}, {2, "[2]"}}, {}},
      {"Both [1, 2] and [1;3].",
       "Both [1, 2] and [1;3].",
       {{1, "[1, 2]"}, {2, "[1, 2]"}, {1, "[1;3]"}, {3, "[1;3]"}},
       {}},
      {"None [7]. End", "None. End", {}, {"[7]"}},
      {"Some [1, 9].", "Some [1].", {{1, "[1]"}}, {"[9]"}},
      {"Zero [0] and huge [999999], [1234567].", "Zero and huge, [1234567].", {}, {"[0]", "[999999]"}},
      {"[1][2]", "[1][2]", {{1, "[1]"}, {2, "[2]"}}, {}},
      {"[ 2 ] spaced", "[ 2 ] spaced", {{2, "[ 2 ]"}}, {}},
      {"[a] [] [1,] [1 2] [1", "[a] [] [1,] [1 2] [1", {}, {}},
      {"code `a[7]` and [7]", "code `a[7]` and", {}, {"[7]"}},
      {"``a ` [7]`` [7].", "``a ` [7]``.", {}, {"[7]"}},
      {"```\nx[7]\n``` [1]", "```\nx[7]\n``` [1]", {{1, "[1]"}}, {}},
      {"stray ` tick\nthen [7]", "stray ` tick\nthen", {}, {"[7]"}},
      {"caf\xc3\xa9 [1] \xe2\x82\xac [8]", "caf\xc3\xa9 [1] \xe2\x82\xac", {{1, "[1]"}}, {"[8]"}},
      {"a  [7]  b", "a  b", {}, {"[7]"}},
      {"trailing  ", "trailing  ", {}, {}},
      {"", "", {}, {}},
  };
  for (const auto& row : rows)
    for (std::size_t size = 1; size <= 8; ++size) {
      const Read out = read(row.written, size);
      EXPECT_EQ(out.text, row.text) << row.written;
      EXPECT_EQ(out.unknown, row.unknown) << row.written;
      std::vector<std::pair<std::size_t, std::string>> marks;
      for (const Citation& citation : out.citations)
        marks.emplace_back(citation.number, out.text.substr(citation.begin, citation.end - citation.begin));
      EXPECT_EQ(marks, row.citations) << row.written;
    }
}

TEST(CitationReader, DoesNotDependOnHowTheTextComes) {
  std::mt19937 random(7);
  const std::string letters = "[[]]1270,; `\nab";
  for (int round = 0; round < 3000; ++round) {
    std::string written;
    for (std::size_t i = random() % 40; i > 0; --i) written += letters[random() % letters.size()];
    const Read whole = read(written, 1000), pieces = read(written, 1 + random() % 5);
    ASSERT_EQ(pieces.text, whole.text) << written;
    ASSERT_EQ(pieces.citations, whole.citations) << written;
    ASSERT_EQ(pieces.unknown, whole.unknown) << written;
  }
}

TEST(CitationReader, HoldsBackNoMoreThanAMark) {
  CitationReader reader({1});
  EXPECT_EQ(reader.add("word"), "word");
  EXPECT_EQ(reader.add(" ["), "");
  EXPECT_EQ(reader.add("1"), "");
  EXPECT_EQ(reader.add("] more"), " [1] more");
  EXPECT_EQ(reader.add(" [" + std::string(200, ' ') + "1"), " [" + std::string(200, ' ') + "1") << "no mark is so long";
}

}  // namespace
}  // namespace graft
