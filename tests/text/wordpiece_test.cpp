#include "graft/text/wordpiece.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/error_message.hpp"

namespace graft::wordpiece_test {
namespace {

Vocabulary vocabulary(const std::vector<std::string>& tokens) {
  std::vector<Vocabulary::Entry> entries;
  for (std::size_t i = 0; i < tokens.size(); ++i) entries.push_back({tokens[i], static_cast<std::int32_t>(i)});
  return Vocabulary(entries, "test");
}

std::string pieces(const WordPiece& model, std::string_view word) {
  std::vector<Token> tokens;
  const TextRange all{0, static_cast<std::uint32_t>(word.size())};
  model.encode(word, {&all, 1}, tokens);
  std::string out;
  for (const Token& token : tokens) {
    out += message(*model.vocabulary().token(token.id), "[", token.range.begin, ",", token.range.end, ") ");
  }
  return out;
}

TEST(WordPiece, TakesTheLongestPieceFromTheLeft) {
  const WordPiece model(vocabulary({"[UNK]", "a", "ab", "##c", "##cd", "##bcd", "abx"}));
  EXPECT_EQ(pieces(model, "abcd"), "ab[0,2) ##cd[2,4) ");
  EXPECT_EQ(pieces(model, "abc"), "ab[0,2) ##c[2,3) ");
  EXPECT_EQ(pieces(model, "abx"), "abx[0,3) ");
}

TEST(WordPiece, AWordWithAPartNoPieceCoversIsUnknown) {
  const WordPiece model(vocabulary({"[UNK]", "a", "##b", "é"}));
  EXPECT_EQ(pieces(model, "abz"), "[UNK][0,3) ");
  EXPECT_EQ(pieces(model, "éé"), "[UNK][0,4) ");
}

TEST(WordPiece, PiecesMayHaveNoPrefix) {
  const WordPiece model(vocabulary({"?", "a", "b"}), {.unknown_token = "?", .continuing_prefix = ""});
  EXPECT_EQ(pieces(model, "abba"), "a[0,1) b[1,2) b[2,3) a[3,4) ");
}

TEST(WordPiece, LengthIsCountedInCharacters) {
  const WordPiece model(vocabulary({"[UNK]", "é", "##é"}), {.max_characters_a_word = 2});
  EXPECT_EQ(pieces(model, "éé"), "é[0,2) ##é[2,4) ");
  EXPECT_EQ(pieces(model, "ééé"), "[UNK][0,6) ");
}

TEST(WordPiece, AnUnknownTokenThatIsMissingIsAnErrorWhereItIsNeeded) {
  const WordPiece model(vocabulary({"a", "##a"}));
  EXPECT_EQ(pieces(model, "aa"), "a[0,1) ##a[1,2) ");
  EXPECT_EQ(
      error_message([&] { pieces(model, "ab"); }),
      "FormatError: the vocabulary has neither the word \"ab\" nor its pieces, nor the token \"[UNK]\", which stands "
      "for unknown words; add it or name the one that does");
}

TEST(WordPiece, ChecksItsOptions) {
  EXPECT_EQ(error_message([] { WordPiece(vocabulary({"[UNK]"}), {.max_characters_a_word = -1}); }),
            "OptionError: max_characters_a_word is -1; choose 0 or more");
}

TEST(Vocabulary, FindsEveryTokenAndNoOther) {
  std::vector<std::string> tokens{""};
  for (int i = 0; i < 20'000; ++i)
    tokens.push_back(std::string(static_cast<std::size_t>(i % 37), 'x') + std::to_string(i));
  const Vocabulary words = vocabulary(tokens);
  EXPECT_EQ(words.size(), tokens.size());
  EXPECT_EQ(words.find(""), -1) << "an id without a text";
  EXPECT_EQ(words.token(0), "");
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    ASSERT_EQ(words.find(tokens[i]), static_cast<std::int32_t>(i));
    ASSERT_EQ(words.find(tokens[i] + "-"), -1);
    ASSERT_EQ(words.token(static_cast<std::int32_t>(i)), tokens[i]);
  }
}

}  // namespace
}  // namespace graft::wordpiece_test
