#include "graft/retrieval/chunker.hpp"
#include "graft/core/utf8.hpp"
#include "graft/retrieval/detail/cut_places.hpp"
#include "graft/retrieval/detail/markdown.hpp"
#include "graft/retrieval/detail/scripts.hpp"

#include <fstream>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "retrieval/support.hpp"
#include "support/python.hpp"

namespace graft {
namespace {

using test::expect_error;

std::size_t bytes(std::string_view text) { return text.size(); }

std::size_t words(std::string_view text) {
  std::size_t count = 0;
  bool inside = false;
  for (const char c : text) {
    count += !detail::is_space(c) && !inside;
    inside = !detail::is_space(c);
  }
  return count;
}

/// Grows in steps, as subword pieces do: one for each begun three bytes of a word.
std::size_t pieces(std::string_view text) {
  std::size_t count = 0, run = 0;
  for (const char c : text) {
    run = detail::is_space(c) ? 0 : run + 1;
    count += run % 3 == 1;
  }
  return count;
}

std::vector<std::string> texts(const Chunker& chunker, std::string_view text) {
  std::vector<std::string> out;
  for (const PassageRange& range : chunker.cut(text))
    out.emplace_back(text.substr(range.begin, range.end - range.begin));
  return out;
}

TEST(Chunker, CutsWhereItHurtsLeast) {
  const Chunker chunker(bytes, "bytes", {.size = 30, .overlap = 0});
  EXPECT_EQ(texts(chunker, "First paragraph.\n\nSecond one is here. And more."),
            (std::vector<std::string>{"First paragraph.", "Second one is here. And more."}));
  EXPECT_EQ(texts(chunker, "One sentence ends. Another one goes on for long."),
            (std::vector<std::string>{"One sentence ends.", "Another one goes on for long."}));
  EXPECT_EQ(texts(chunker, "no sentence at all in this long line"),
            (std::vector<std::string>{"no sentence at all in this", "long line"}));
  EXPECT_EQ(texts(chunker, "a.\n\nThe early cut would leave too little behind"),
            (std::vector<std::string>{"a.\n\nThe early cut would leave", "too little behind"}));
  EXPECT_EQ(texts(chunker, "He said \"so it is.\" Then he left"),
            (std::vector<std::string>{"He said \"so it is.\"", "Then he left"}));
}

TEST(Chunker, SentencesEndInEveryScript) {
  const struct {
    const char *first, *second;
  } table[] = {
      {"我们把数据库迁移到了新的服务器。", "会议改到了下周三。"},
      {"東京駅で乗り換えました。", "「次は何時ですか？」"},
      {"「次は何時ですか？」", "と彼は聞いた。"},
      {"ฉันกินข้าวผัดที่ตลาดทุกวัน ", "พรุ่งนี้ฝนจะตก"},
      {"أين المكتبة؟ ", "هي قريبة."},
      {"یہ ایک کتاب ہے۔ ", "وہ بڑی ہے۔"},
      {"यह एक किताब है। ", "वह बड़ी है।"},
      {"यह एक किताब है।", "वह बड़ी है।"},
      {"Սա գիրք է։ ", "Այն մեծ է։"},
      {"ይህ መጽሐፍ ነው። ", "ትልቅ ነው።"},
      {"ဒါကစာအုပ်ပါ။ ", "ကြီးတယ်။"},
      {"នេះជាសៀវភៅ។ ", "វាធំណាស់។"},
      {"He said “so it is.” ", "Then he left"},
      {"Il a dit «\u00a0oui\u00a0!\u00a0» ", "Puis il est parti."},
      {"Wait for it… ", "What is it?"},
  };
  for (const auto& [first, second] : table) {
    const std::string text = std::string(first) + second;
    // Room for a few characters of the second: the cut is where the first ends, and not where it is full.
    const Chunker chunker(bytes, "bytes", {.size = std::string(first).size() + 8, .overlap = 0});
    const auto got = texts(chunker, text);
    ASSERT_GE(got.size(), 2u) << text;
    std::string wanted = first;
    while (wanted.back() == ' ') wanted.pop_back();
    EXPECT_EQ(got[0], wanted);
  }
}

TEST(Chunker, AScriptWithoutBlanksFillsItsPassages) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "我们把数据库迁移到了新的服务器";  // 15 letters of 3 bytes, and no stop
  text += "。短句。";
  const auto got = texts(Chunker(bytes, "bytes", {.size = 300, .overlap = 0}), text);
  ASSERT_EQ(got.size(), 16u);  // 4512 bytes
  for (std::size_t i = 0; i < 14; ++i) EXPECT_EQ(got[i].size(), 300u);
  EXPECT_EQ(got[15], "器。短句。") << "no passage begins with a stop";
  for (const std::string& passage : texts(Chunker(bytes, "bytes", {.size = 20, .overlap = 0}), "ข้าวผัดที่ตลาดทุกวันนี้"))
    EXPECT_FALSE(detail::is_mark(decode_utf8(passage, 0).code_point)) << "a mark was cut from its letter: " << passage;
}

TEST(Chunker, TheDefaultOverlapFollowsTheSize) {
  EXPECT_EQ(Chunker(words, "words").name(), "passages 2, 200 words, overlap 20");
  EXPECT_EQ(Chunker(words, "words", {.size = 30}).name(), "passages 2, 30 words, overlap 3");
  EXPECT_EQ(Chunker(words, "words", {.size = 1}).name(), "passages 2, 1 words, overlap 0");
  EXPECT_EQ(Chunker(words, "words", {.size = 5000}).name(), "passages 2, 5000 words, overlap 20");
  EXPECT_EQ(Chunker(words, "words", {.size = 30, .overlap = 15}).name(), "passages 2, 30 words, overlap 15");
}

TEST(Chunker, CutsAWordThatIsTooLongBetweenItsCharacters) {
  const Chunker chunker(bytes, "bytes", {.size = 5, .overlap = 0});
  EXPECT_EQ(texts(chunker, "ääää ab"), (std::vector<std::string>{"ää", "ää", "ab"}));
  EXPECT_EQ(texts(Chunker(bytes, "bytes", {.size = 1, .overlap = 0}), "🎈x"), (std::vector<std::string>{"🎈", "x"}))
      << "a character longer than size stands alone";
}

TEST(Chunker, RepeatsAtMostTheOverlapAndWholeSentencesWhereTheyFit) {
  const Chunker by_words(words, "words", {.size = 6, .overlap = 2});
  EXPECT_EQ(texts(by_words, "a b c d e f g h i j k"),
            (std::vector<std::string>{"a b c d e f", "e f g h i j", "i j k"}));
  const Chunker sentences(words, "words", {.size = 6, .overlap = 3});
  EXPECT_EQ(texts(sentences, "a b c. d e. f g h. i j."),
            (std::vector<std::string>{"a b c. d e.", "d e. f g h.", "f g h. i j."}));
}

TEST(Chunker, NothingToCutGivesNoPassage) {
  const Chunker chunker(bytes, "bytes");
  EXPECT_TRUE(chunker.cut("").empty());
  EXPECT_TRUE(chunker.cut(" \n\t\r\n ").empty());
}

TEST(Chunker, KeepsMarkdownHeadingsWithTheirText) {
  const std::string text =
      "intro\n# Guide\n## Setup\nInstall it first.\n\n```\n# no heading\n```\n## Use ##\nRun it now. Run it again and "
      "again.\n"
      "#hashtag\n# Other\nend";
  const Chunker chunker(words, "words", {.size = 9, .overlap = 0, .markdown = true});
  const auto ranges = chunker.cut(text);
  std::vector<std::pair<std::string, std::string>> got;
  for (const PassageRange& range : ranges)
    got.emplace_back(range.heading, text.substr(range.begin, range.end - range.begin));
  const std::vector<std::pair<std::string, std::string>> wanted = {{"", "intro"},
                                                                   {"", "# Guide\n## Setup\nInstall it first."},
                                                                   {"Guide > Setup", "```\n# no heading\n```"},
                                                                   {"Guide", "## Use ##\nRun it now."},
                                                                   {"Guide > Use", "Run it again and again.\n#hashtag"},
                                                                   {"", "# Other\nend"}};
  EXPECT_EQ(got, wanted);
}

/// The headings that begin a section, as title and text below it up to the next.
std::vector<std::pair<std::string, std::string>> outline(const std::string& text) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const PassageRange& range : Chunker(bytes, "bytes", {.size = 1 << 20, .markdown = true}).cut(text))
    out.emplace_back(range.heading, text.substr(range.begin, range.end - range.begin));
  return out;
}

TEST(Chunker, MarkdownIsCommonMark) {
  using Outline = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(outline("Over\n====\ntext\n\nUnder\n-----\nmore"),
            (Outline{{"", "Over\n====\ntext"}, {"Over", "Under\n-----\nmore"}}));
  EXPECT_EQ(outline("> Quoted\n> ===\n> text\n\nUnder\n-----\n\nmore").size(), 2u);
  EXPECT_EQ(outline("# A *b* `c` [d](e) ![f](g) \\# ##\n\ntext\n\n## B\ntext"),
            (Outline{{"", "# A *b* `c` [d](e) ![f](g) \\# ##\n\ntext"}, {"A b c d f #", "## B\ntext"}}));
  for (const char* none :
       {"a\n\n    # indented code", "a\n\n#no blank", "a\n\n####### seven", "<!--\n# comment\n-->",
        "<pre>\n\n# raw\n\n</pre>", "```\n# code\n```", "~~~ x `y`\n# code\n~~~", "````\n```\n# code\n````",
        "a\n\n\\# escaped", "```\n# not closed", "```\n# code\n``` no end\n# code\n```", "<![CDATA[\n# data\n]]>",
        "- a\n\n      # code in a list"})
    EXPECT_EQ(outline(none).size(), 1u) << none;
  EXPECT_EQ(outline("``` `x` ```\n\n# H\ntext").size(), 2u) << "a fence's info string holds no backtick";
  EXPECT_EQ(outline("one\r\n# Two\r\nthree\r# Four\rfive").size(), 3u) << "lines end with CR, LF or both";
}

TEST(Chunker, AFenceEndsWithItsListOrQuotation) {
  for (const std::string text :
       {"1. ```\n```", "> ~~~\ntext", "- ```\n  code\n\n***", "- ```\n<b>", "> ```\n[a]: /url"}) {
    const auto lines = detail::markdown_outline(text).lines;
    ASSERT_FALSE(lines.empty()) << text;
    EXPECT_LE(lines[0].end, text.rfind('\n') + 1) << text;
  }
}

TEST(Chunker, FrontMatterIsNoHeading) {
  using Outline = std::vector<std::pair<std::string, std::string>>;
  const std::string yaml = "---\ntitle: x\n# a comment\n---";
  EXPECT_EQ(outline(yaml + "\n\n# Real\n\ntext"), (Outline{{"", yaml}, {"", "# Real\n\ntext"}}));
  const std::string toml = "+++\n# a comment\ntitle = 1\n+++";
  EXPECT_EQ(outline(toml + "\n# Real\ntext"), (Outline{{"", toml}, {"", "# Real\ntext"}}));
  EXPECT_EQ(outline("---\n\n# Real\n\ntext\n\n---\n"), (Outline{{"", "---"}, {"", "# Real\n\ntext\n\n---"}}));
}

TEST(Chunker, RowsOfTablesAndLinesOfCodeStayWhole) {
  const std::string table =
      "Prices.\n\n| fruit and kind | price |\n| --- | --: |\n| apple, red. Sweet | 1.00 |\n| pear and plum | 2.00 |\n"
      "| a quince. Sour | 3.00 |\n";
  for (std::size_t size = 9; size < 30; ++size)
    for (const std::size_t overlap : {std::size_t{0}, size / 2}) {
      for (const std::string& passage :
           texts(Chunker(words, "words", {.size = size, .overlap = overlap, .markdown = true}), table)) {
        EXPECT_TRUE(passage.ends_with("|") || passage.ends_with("Prices.")) << size << ": " << passage;
        EXPECT_TRUE(passage.starts_with("|") || passage.starts_with("Prices.")) << size << ": " << passage;
      }
    }
  const std::string code = "```c\nint a = 1; int b = 2;\nint c = 3; int d = 4;\nint e = 5; int f = 6;\n```\n";
  for (const std::string& passage : texts(Chunker(words, "words", {.size = 14, .overlap = 0, .markdown = true}), code))
    EXPECT_TRUE(passage.ends_with(";") || passage.ends_with("```")) << passage;
  EXPECT_EQ(texts(Chunker(words, "words", {.size = 14, .overlap = 0, .markdown = true}), code).at(0),
            "```c\nint a = 1; int b = 2;");
}

// markdown-it-py is what the peers' own packages bring. Titles are compared where neither backticks nor exclamation
// marks are in the text: cmark sees no images here, and pairs backticks over blocks that markdown-it keeps apart.
TEST(Chunker, HeadingsAndCodeAreThoseOfMarkdownIt) {
  const TemporaryDirectory directory;
  run_python("markdown_headings.py", {directory / "headings.jsonl"});
  std::ifstream lines(directory / "headings.jsonl");
  std::size_t headings = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json row = parse_json(line, "headings.jsonl");
    const std::string text = row["text"];
    const bool titles = text.find_first_of("`!") == std::string::npos;
    const detail::MarkdownOutline outline = detail::markdown_outline(text);
    Json code = Json::array();
    for (const detail::MarkdownLines& part : outline.lines)
      if (!part.rows) code.push_back({part.begin, text.find_last_not_of(" \t\r\n", part.end - 1) + 1});
    if (!row["code"].is_null()) {
      EXPECT_EQ(code, row["code"]) << text;
    }
    const auto& got = outline.headings;
    ASSERT_EQ(got.size(), row["headings"].size()) << text;
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].begin, row["headings"][i][0]) << text;
      ASSERT_EQ(got[i].level, row["headings"][i][1]) << text;
      if (titles) {
        ASSERT_EQ(got[i].title, row["headings"][i][2]) << text;
      }
    }
    headings += got.size();
  }
  EXPECT_GT(headings, 4000u);
}

TEST(Chunker, MarkdownTakesTimeAndMemoryInProportion) {
  for (const std::string unit : {"![[]()", "> ", "- ", "[", "*a_", "a<!-- ", "a <![CDATA[[]()",
                                 "a\n     <![CDATA[[]()\n", "| a |\n|-|\n", "`"}) {
    std::string text;
    while (text.size() < 1 << 20) text += unit;
    EXPECT_NO_THROW(detail::markdown_outline(text));  // the square of it would be hours
  }
  expect_error<OptionError>([] { detail::markdown_outline(std::string((16 << 20) + 1, 'x')); },
                            "a Markdown text has 16777217 bytes; up to 16777216 are read");
}

TEST(Chunker, DropsAHeadingThatLeavesNoRoom) {
  const std::string text = "# one two three four\n## five\nshort text here to be cut";
  for (const PassageRange& range : Chunker(words, "words", {.size = 6, .overlap = 0, .markdown = true}).cut(text))
    EXPECT_EQ(range.heading, "");
}

std::string random_text(std::mt19937_64& random) {
  const char* parts[] = {"a",     "word",  "longerword", "ä",     "漢字",
                         "🎈",     " ",     " ",          " ",     "\n",
                         "\n\n",  ". ",    "! ",         "\t",    "# ",
                         "\n## ", "```\n", "\r\n",       "(x.) ", "verylongwordwithoutanyspaceinsideit"};
  std::string out;
  for (std::size_t n = random() % 120; n > 0; --n) out += parts[random() % std::size(parts)];
  return out;
}

TEST(Chunker, PassagesCoverTheDocumentAndKeepTheirPromises) {
  std::mt19937_64 random(1);
  const std::pair<LengthFunction, const char*> functions[] = {{bytes, "bytes"}, {words, "words"}, {pieces, "pieces"}};
  for (int round = 0; round < 4000; ++round) {
    const std::string text = random_text(random);
    const auto& [length, name] = functions[random() % 3];
    ChunkerOptions options;
    options.size = 1 + random() % 40;
    const std::size_t overlap = random() % (options.size / 2 + 1);
    options.overlap = overlap;
    options.markdown = random() % 2;
    const auto ranges = Chunker(length, name, options).cut(text);
    SCOPED_TRACE(message(quoted(text, 2000), " ", name, " ", options.size, " ", overlap, " ", options.markdown));
    std::size_t covered = 0;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const auto& [begin, end, heading] = ranges[i];
      ASSERT_LT(begin, end);
      ASSERT_LE(end, text.size());
      ASSERT_TRUE(is_character_border(text, begin) && is_character_border(text, end));
      ASSERT_FALSE(detail::is_space(text[begin]) || detail::is_space(text[end - 1]));
      const std::string passage = text.substr(begin, end - begin);
      ASSERT_TRUE(is_utf8(passage));
      const bool one_character = decode_utf8(passage, 0).length == passage.size();
      ASSERT_TRUE(length(searchable(heading, passage)) <= options.size || one_character) << passage;
      for (std::size_t at = covered; at < begin; ++at)
        ASSERT_TRUE(detail::is_space(text[at])) << "byte " << at << " is lost";
      if (i > 0) {
        ASSERT_GT(begin, ranges[i - 1].begin);
        ASSERT_GT(end, ranges[i - 1].end);
        if (begin < covered) {
          ASSERT_LE(length(text.substr(begin, covered - begin)), overlap);
        }
      }
      covered = end;
    }
    for (std::size_t at = covered; at < text.size(); ++at)
      ASSERT_TRUE(detail::is_space(text[at])) << "byte " << at << " is lost";
  }
}

TEST(Chunker, AsksForLengthsRarely) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "word ";
  std::size_t calls = 0, read = 0;
  const Chunker chunker(
      [&](std::string_view piece) {
        ++calls;
        read += piece.size();
        return words(piece);
      },
      "words", {.size = 200, .overlap = 20});
  const std::size_t count = chunker.cut(text).size();
  EXPECT_EQ(count, 111u);
  EXPECT_LT(calls, count * 40);
  EXPECT_LT(read, text.size() * 16);
}

TEST(Chunker, ItsNameTellsItsSettings) {
  EXPECT_EQ(Chunker(words, "words", {.size = 5, .overlap = 1, .markdown = true}).name(),
            "passages 2, 5 words, overlap 1, markdown");
  EXPECT_NE(Chunker(words, "words", {.size = 5, .overlap = 1}).name(),
            Chunker(words, "words", {.size = 5, .overlap = 2}).name());
}

TEST(Chunker, RefusesWhatItCannotDo) {
  expect_error<OptionError>([] { Chunker(bytes, "bytes", {.size = 0, .overlap = 0}); },
                            "passages of size 0 are not possible");
  expect_error<OptionError>([] { Chunker(bytes, "bytes", {.size = 10, .overlap = 6}); },
                            "an overlap of 6 is more than half of size 10");
  expect_error<OptionError>([] { Chunker(nullptr, "bytes"); }, "no length function");
  expect_error<OptionError>([] { Chunker(bytes, ""); }, "has no name");
  expect_error<OptionError>([] { Chunker(bytes, "bytes").cut("ab\xff"); }, "not UTF-8 at byte 2");
}

}  // namespace
}  // namespace graft
