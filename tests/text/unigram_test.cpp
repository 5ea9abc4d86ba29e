#include "graft/text/unigram.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "support/error_message.hpp"

namespace graft {
namespace {

const std::vector<Unigram::Piece> pieces = {{"<unk>", 0},  {"▁", -2},   {"a", -3},       {"b", -3.5},    {"ab", -6},
                                            {"▁ab", -7.9}, {"abb", -9}, {"<0xC3>", -20}, {"<0xA9>", -20}};

/// What the model makes of a word, as "token[begin,end) ...".
std::string tokens_of(const Unigram& model, std::string_view word) {
  std::vector<Token> tokens;
  const TextRange words[] = {{0, static_cast<std::uint32_t>(word.size())}};
  model.encode(word, words, tokens);
  std::string out;
  for (const Token& token : tokens) {
    out += message(out.empty() ? "" : " ", *model.vocabulary().token(token.id), '[', token.range.begin, ',',
                   token.range.end, ')');
  }
  return out;
}

// Expected values of tokenizers 0.23.3.
TEST(Unigram, TakesTheWayWithTheLargestSum) {
  const Unigram model(pieces, 0, true);
  EXPECT_EQ(tokens_of(model, "ab"), "ab[0,2)") << "-6 > -6.5";
  EXPECT_EQ(tokens_of(model, "▁abb"), "▁[0,3) abb[3,6)") << "-11 > -11.4";
  EXPECT_EQ(tokens_of(model, "bab"), "b[0,1) ab[1,3)");
  EXPECT_EQ(tokens_of(model, ""), "");
}

TEST(Unigram, UnknownCharactersAreTheirBytesOrOneToken) {
  EXPECT_EQ(tokens_of(Unigram(pieces, 0, true), "aéb"), "a[0,1) <0xC3>[1,3) <0xA9>[1,3) b[3,4)");
  EXPECT_EQ(tokens_of(Unigram(pieces, 0, true), "aèèb"), "a[0,1) <unk>[1,5) b[5,6)") << "one byte is missing";
  EXPECT_EQ(tokens_of(Unigram(pieces, 0, false), "aéb"), "a[0,1) <unk>[1,3) b[3,4)");
}

TEST(Unigram, OfEqualPiecesTheLastCounts) {
  std::vector<Unigram::Piece> twice = pieces;
  twice.push_back({"ab", -7});
  std::vector<Token> tokens;
  const TextRange words[] = {{0, 2}};
  Unigram(twice, 0, false).encode("ab", words, tokens);
  ASSERT_EQ(tokens.size(), 2u) << "-6.5 > -7";
  twice.back().score = -1;
  tokens.clear();
  Unigram(twice, 0, false).encode("ab", words, tokens);
  ASSERT_EQ(tokens.size(), 1u);
  EXPECT_EQ(tokens[0].id, 9);
}

TEST(Unigram, AMillionCharactersAreOneWord) {
  EXPECT_EQ(tokens_of(Unigram(pieces, 0, false), std::string(1'000'000, 'x')), "<unk>[0,1000000)");
}

TEST(Unigram, RefusesWhatDoesNotFit) {
  EXPECT_EQ(error_message([] { Unigram(pieces, 9, false); }),
            "FormatError: the unknown token's id is 9, but there are 9 pieces");
  EXPECT_EQ(error_message([] {
              Unigram({{"a", std::numeric_limits<double>::infinity()}}, 0, false);
            }),
            "FormatError: piece 0, \"a\", has the score inf; a score is a finite number");
  EXPECT_EQ(
      error_message([] { tokens_of(Unigram(pieces, std::nullopt, false), "ax"); }),
      "FormatError: no piece of the vocabulary covers \"x\", and no token stands for what is unknown; name one in "
      "the tokenizer's file");
}

}  // namespace
}  // namespace graft
