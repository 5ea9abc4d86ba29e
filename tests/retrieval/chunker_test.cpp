#include "graft/retrieval/chunker.hpp"
#include "graft/core/utf8.hpp"
#include "graft/retrieval/detail/cut_places.hpp"

#include "retrieval/support.hpp"

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
    options.overlap = random() % (options.size / 2 + 1);
    options.markdown = random() % 2;
    const auto ranges = Chunker(length, name, options).cut(text);
    SCOPED_TRACE(
        message(quoted(text, 2000), " ", name, " ", options.size, " ", options.overlap, " ", options.markdown));
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
          ASSERT_LE(length(text.substr(begin, covered - begin)), options.overlap);
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
            "passages 1, 5 words, overlap 1, markdown");
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
