#include <gtest/gtest.h>

#include <random>
#include <span>

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

struct Row {
  std::string written;
  std::string text;
  std::vector<std::pair<std::size_t, std::string>> citations = {};  // number, mark
  std::vector<std::string> unknown = {};
};

/// Sources are 1, 2 and 3. However the text comes, it is read the same.
void expect(std::span<const Row> rows) {
  for (const Row& row : rows)
    for (const std::size_t size : {1, 2, 3, 5, 8, 1000}) {
      const Read out = read(row.written, size);
      EXPECT_EQ(out.text, row.text) << row.written << size;
      EXPECT_EQ(out.unknown, row.unknown) << row.written << size;
      std::vector<std::pair<std::size_t, std::string>> marks;
      for (const Citation& citation : out.citations)
        marks.emplace_back(citation.number, out.text.substr(citation.begin, citation.end - citation.begin));
      EXPECT_EQ(marks, row.citations) << row.written << size;
    }
}

/// Rows whose text stays as it is, without a citation.
std::vector<Row> unchanged(std::initializer_list<std::string> texts) {
  std::vector<Row> rows;
  for (const std::string& text : texts) rows.push_back({text, text});
  return rows;
}

TEST(CitationReader, MapsMarksAndTakesOutThoseThatNameNothing) {
  const Row rows[] = {
      {"Plain text.", "Plain text.", {}, {}},
      {"One [1]. Two [2].", "One [1]. Two [2].", {{1, "[1]"}, {2, "[2]"}}, {}},
      {"Both [1, 2] and [1;3].",
       "Both [1, 2] and [1;3].",
       {{1, "[1, 2]"}, {2, "[1, 2]"}, {1, "[1;3]"}, {3, "[1;3]"}},
       {}},
      {"None [7]. End", "None. End", {}, {"[7]"}},
      {"Some [1, 9].", "Some [1].", {{1, "[1]"}}, {"[9]"}},
      {"Huge [999], [1234567].", "Huge, [1234567].", {}, {"[999]"}},
      {"[1][2]", "[1][2]", {{1, "[1]"}, {2, "[2]"}}, {}},
      {"So [1][8][2].", "So [1][2].", {{1, "[1]"}, {2, "[2]"}}, {"[8]"}},
      {"[ 2 ] spaced", "[ 2 ] spaced", {{2, "[ 2 ]"}}, {}},
      {"[a] [] [1,] [1 2] [1", "[a] [] [1,] [1 2] [1", {}, {}},
      {"caf\xc3\xa9 [1] \xe2\x82\xac [8]", "caf\xc3\xa9 [1] \xe2\x82\xac", {{1, "[1]"}}, {"[8]"}},
      {"a  [7]  b", "a  b", {}, {"[7]"}},
      {"trailing  ", "trailing  ", {}, {}},
      {"", "", {}, {}},
  };
  expect(rows);
}

TEST(CitationReader, KnowsTheFormsThatModelsWrite) {
  const Row rows[] = {
      // ItzCrazyKns/Vane PR 719: small models write lists, and lists beside marks.
      {"a [1,2][3]", "a [1,2][3]", {{1, "[1,2]"}, {2, "[1,2]"}, {3, "[3]"}}},
      {"a [1\u202F,\u00A02] b", "a [1\u202F,\u00A02] b", {{1, "[1\u202F,\u00A02]"}, {2, "[1\u202F,\u00A02]"}}},
      {"a [1 and 2], [1 & 3]",
       "a [1 and 2], [1 & 3]",
       {{1, "[1 and 2]"}, {2, "[1 and 2]"}, {1, "[1 & 3]"}, {3, "[1 & 3]"}}},
      // knmnyn/ParsCit #3, pandoc-citeproc #84: ranges, with every dash.
      {"a [1-3]", "a [1-3]", {{1, "[1-3]"}, {2, "[1-3]"}, {3, "[1-3]"}}},
      {"a [1–2, 3]", "a [1–2, 3]", {{1, "[1–2, 3]"}, {2, "[1–2, 3]"}, {3, "[1–2, 3]"}}},
      {"a [1‑2] [2 — 3]", "a [1‑2] [2 — 3]", {{1, "[1‑2]"}, {2, "[1‑2]"}, {2, "[2 — 3]"}, {3, "[2 — 3]"}}},
      {"a [1]–[3], [1]/[2]", "a [1]–[3], [1]/[2]", {{1, "[1]"}, {3, "[3]"}, {1, "[1]"}, {2, "[2]"}}},
      {"a [2-9].", "a [2, 3].", {{2, "[2, 3]"}, {3, "[2, 3]"}}, {"[4-9]"}},
      {"a [1, 3–4, 6].", "a [1, 3].", {{1, "[1, 3]"}, {3, "[1, 3]"}}, {"[4, 6]"}},
      {"a [7–9].", "a.", {}, {"[7–9]"}},
      // facebook/astryx PR 1179: brackets of full width, without a blank.
      {"big【1】, 大きい［２］。", "big【1】, 大きい［２］。", {{1, "【1】"}, {2, "［２］"}}},
      {"东京很大[1]，[2、3]。", "东京很大[1]，[2、3]。", {{1, "[1]"}, {2, "[2、3]"}, {3, "[2、3]"}}},
      {"东京很大【9】。", "东京很大。", {}, {"【9】"}},
      {"a【1】【8】b", "a【1】b", {{1, "【1】"}}, {"【8】"}},
      {"a 【1、8】", "a 【1】", {{1, "【1】"}}, {"【8】"}},
      // danny-avila/LibreChat #3437, and the form that gpt-oss was taught.
      {"a【1†source】b【2†L3-L5】", "a【1†source】b【2†L3-L5】", {{1, "【1†source】"}, {2, "【2†L3-L5】"}}},
      {"a [1†source] [7†source]", "a [1†source]", {{1, "[1†source]"}}, {"[7]"}},
      // uzh-bf/klicker-uzh PR 6045: with a page.
      {"a [1, p. 6–7] b [7, page 3]", "a [1, p. 6–7] b", {{1, "[1, p. 6–7]"}}, {"[7]"}},
      // reddb-io/reddb #393: footnotes. Kimi writes a second "^".
      {"So it is.[^1] word[^2] [^3^]", "So it is.[^1] word[^2] [^3^]", {{1, "[^1]"}, {2, "[^2]"}, {3, "[^3^]"}}},
      {"So it is[^7].", "So it is.", {}, {"[^7]"}},
      {"a [[1]] b [[7]]", "a [[1]] b", {{1, "[[1]]"}}, {"[[7]]"}},
      // The words with which prompts name sources.
      {"a [Source 1] [source: 2] [Sources 1, 3]",
       "a [Source 1] [source: 2] [Sources 1, 3]",
       {{1, "[Source 1]"}, {2, "[source: 2]"}, {1, "[Sources 1, 3]"}, {3, "[Sources 1, 3]"}}},
      {"a [Source 1, Source 9] [Doc. 3] [来源1]",
       "a [Source 1] [Doc. 3] [来源1]",
       {{1, "[Source 1]"}, {3, "[Doc. 3]"}, {1, "[来源1]"}},
       {"[Source 9]"}},
      {"a (Source 1) and (sources 2 and 3).",
       "a (Source 1) and (sources 2 and 3).",
       {{1, "(Source 1)"}, {2, "(sources 2 and 3)"}, {3, "(sources 2 and 3)"}}},
      // Around marks.
      {"**bold** [1] *it*[2] \"q\"[3] ([1]) done.[2] > [3]",
       "**bold** [1] *it*[2] \"q\"[3] ([1]) done.[2] > [3]",
       {{1, "[1]"}, {2, "[2]"}, {3, "[3]"}, {1, "[1]"}, {2, "[2]"}, {3, "[3]"}}},
      {"- one [1]\n- two [7]\n\n| a [2] | b |[3]|\n",
       "- one [1]\n- two\n\n| a [2] | b |[3]|\n",
       {{1, "[1]"}, {2, "[2]"}, {3, "[3]"}},
       {"[7]"}},
      {"(as said)[1] and [convert][2].", "(as said)[1] and [convert][2].", {{1, "[1]"}, {2, "[2]"}}},
      {"Sources:\n[1] a.md\n[9] b.md", "Sources:\n[1] a.md\n b.md", {{1, "[1]"}}, {"[9]"}},
  };
  expect(rows);
}

TEST(CitationReader, IndexesAreNoMarks) {
  // diegosouzapw/OmniRoute PR 14122: print(arr[0], arr[12]) became print(arr, arr), and x = [0] became x =.
  expect(unchanged({"print(arr[0], arr[12])",
                    "x = [0]",
                    "x = [7, 8]",
                    "y=[7]",
                    "Take items[0] and then items[1] of the list",
                    "a[0][1]",
                    "a[i][7] and a[i][1]",
                    "f(x)[7] and f(x)[1].",
                    "f([7])",
                    "self.items[1].",
                    "my_list[1].",
                    "camelCase[1].",
                    "x1[2].",
                    "a[1].",
                    "items[7].",
                    "items[1]: an index",
                    "items[1].append(3)",
                    "a[1, 2].",
                    "the interval [0, 1]",
                    "[0]",
                    "[0-9]",
                    "in [2019] and [1998–2004]",
                    "http://host/[7]",
                    "C:\\[7]",
                    "$x$ in $[7]$",
                    "(Source 9)",
                    "(Figure 1)",
                    "[Figure 7]",
                    "[p. 7]",
                    "[3-1]",
                    "[7]th"}));
  const Row rows[] = {
      {"Take items[0] and items[1] [1].", "Take items[0] and items[1] [1].", {{1, "[1]"}}},
      {"Take items[1]. [2]", "Take items[1]. [2]", {{2, "[2]"}}},
      {"In matrix[0], or in matrix[1].", "In matrix[0], or in matrix[1]."},
      // facebook/astryx PR 1179: most models put marks right behind words.
      {"Tokyo is big[1]. It is the capital[2], too[1][3].",
       "Tokyo is big[1]. It is the capital[2], too[1][3].",
       {{1, "[1]"}, {2, "[2]"}, {1, "[1]"}, {3, "[3]"}}},
      {"NASA[1]", "NASA[1]", {{1, "[1]"}}},
      {"big[9].", "big[9]."},
  };
  expect(rows);
}

TEST(CitationReader, CodeHoldsNoMarks) {
  expect(unchanged({// HKUDS/DeepTutor #468
                    "```\nx [7] = [1]\n```",
                    "~~~ python\nx [7]\n```\ny [1]\n~~~",
                    "````\n```\nx [1]\n````\n",
                    "```\nnever closed [7]\n\n[1]",
                    "   ```\n[1]\n   ```",
                    "- item\n\n  ```\n  a [7]\n\n  b [1]\n  ```\n",
                    "> ```\n> a [7]\n> ```\n",
                    "``` [1]\nx\n```",
                    "```\nx [1]\n``` [7]\n",
                    "So:\n\n    first [1]\n\n    second [7]\n",
                    "    first [7]",
                    "\tx [1]",
                    "# Head\n    x [7]\n",
                    "1. item\n\n       x [7]\n",
                    "a `x [7]` b",
                    "a ``x ` [7]`` b",
                    "a `x\n[7]` b",
                    "`a` `[1]`",
                    "1. ```\n   x [7]\n   ```",
                    "* a\n  * b\n\n    ~~~\n    x [1]\n    ~~~"}));
  const Row rows[] = {
      {"Write `a[0] + a[1]` [1].\n\n```\nb[0]\n```\n", "Write `a[0] + a[1]` [1].\n\n```\nb[0]\n```\n", {{1, "[1]"}}},
      {"So [1]:\n\n    a = list[0]\n    b = [2]\n", "So [1]:\n\n    a = list[0]\n    b = [2]\n", {{1, "[1]"}}},
      {"```\nx[7]\n```\n[1]", "```\nx[7]\n```\n[1]", {{1, "[1]"}}},
      {"text\n    goes on [1] [7]", "text\n    goes on [1]", {{1, "[1]"}}, {"[7]"}},
      {"1. item\n\n   text [1] [7]\n", "1. item\n\n   text [1]\n", {{1, "[1]"}}, {"[7]"}},
      {"- a\n    - b [1] [7]\n", "- a\n    - b [1]\n", {{1, "[1]"}}, {"[7]"}},
      {"> said [1] [7]\n", "> said [1]\n", {{1, "[1]"}}, {"[7]"}},
      {"- ```\n  x [1]\n\nout [2]", "- ```\n  x [1]\n\nout [2]", {{2, "[2]"}}},
      {"``` `` [7] ```x``` [1] [7]", "``` `` [7] ```x``` [1]", {{1, "[1]"}}, {"[7]"}},
      {"stray ` tick [1]\nthen [7]", "stray ` tick [1]\nthen", {{1, "[1]"}}, {"[7]"}},
      {"stray ` tick [7] ``x [8]`` [2]\n\n`[9]`", "stray ` tick ``x [8]`` [2]\n\n`[9]`", {{2, "[2]"}}, {"[7]"}},
      {"``stray [1, 9] [8] end", "``stray [1] end", {{1, "[1]"}}, {"[9]", "[8]"}},
      {"use `convert`[1] and `x`[7]", "use `convert`[1] and `x`[7]", {{1, "[1]"}}},
      {"\\`[1]\\` [7]", "\\`[1]\\`", {{1, "[1]"}}, {"[7]"}},
  };
  expect(rows);
}

TEST(CitationReader, WhatMarkdownMeansOtherwiseStays) {
  expect(unchanged({"see [1](http://host/1) and [7](b.md)", "[[1]](http://host/) [^7](x)", "![1](a.png)",
                    "[1]: http://host/1\n[7]: <b>\n", "[^1]: A note.\n[^7]: Another.\n", "   [7]: http://host/",
                    "- [ ] to do\n- [x] done\n- [X] done\n", "\\[1\\] and \\[7]", "[text][7]", "【1:0†source】"}));
  const Row rows[] = {
      {"As [1]: so it is.\n\n[1]: http://host/[9]", "As [1]: so it is.\n\n[1]: http://host/[9]", {{1, "[1]"}}},
      {"- [ ] do it [1]\n- [x] done [7]\n", "- [ ] do it [1]\n- [x] done\n", {{1, "[1]"}}, {"[7]"}},
      {R"(So \( x \in [7, 8] \) and \[ [1] \] hold [1] [7].)",
       R"(So \( x \in [7, 8] \) and \[ [1] \] hold [1].)",
       {{1, "[1]"}},
       {"[7]"}},
      {"$$\nx [7]\n$$\nfor $5 [1], $$ open [1]\n\n[2]",
       "$$\nx [7]\n$$\nfor $5 [1], $$ open [1]\n\n[2]",
       {{1, "[1]"}, {2, "[2]"}}},
      {"{\"a\": [7], 'b': [8]} note: [7]", "{\"a\": [7], 'b': [8]} note:", {}, {"[7]"}},
      {"Here [1] (and there).", "Here [1] (and there).", {{1, "[1]"}}},
  };
  expect(rows);
}

TEST(CitationReader, DoesNotDependOnHowTheTextComes) {
  std::mt19937 random(7);
  const std::string letters = "[[[]]]1122370,; ``\n\n  ab-^:(=#>~*\\.$$)";
  for (int round = 0; round < 20000; ++round) {
    std::string written;
    for (std::size_t i = random() % 60; i > 0; --i) written += letters[random() % letters.size()];
    if (round % 100 == 0) written.insert(random() % (written.size() + 1), 95 + random() % 250, round % 200 ? ' ' : '`');
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
  EXPECT_EQ(reader.add("]"), "") << "a link?";
  EXPECT_EQ(reader.add(" more"), " [1] more");
  EXPECT_EQ(reader.add(" [" + std::string(200, ' ') + "1"), " [" + std::string(200, ' ') + "1") << "no mark is so long";
  EXPECT_EQ(reader.add("\n`a[0] [7]"), "\n`a[0]") << "code?";
  EXPECT_EQ(reader.add(" b"), "");
  EXPECT_EQ(reader.add("` c"), " [7] b` c");
  EXPECT_EQ(reader.add("\n    d"), "\n    d");
}

TEST(CitationReader, TakesTimeInProportionToTheText) {
  // Each would take minutes if any part were read again for each of its marks.
  const std::size_t count = 20'000;
  for (const std::string part :
       {"[", "[1", "[x][1]", "`", "`` [7] `", " ", "(", "[1][7]", "a(", "a[1]", "> ", "- ", "\\", "\n```"}) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += part;
    for (const std::size_t size : {std::size_t{7}, text.size()}) {
      const Read out = read(text, size);
      EXPECT_LE(out.text.size(), text.size()) << part;
    }
  }
}

}  // namespace
}  // namespace graft
