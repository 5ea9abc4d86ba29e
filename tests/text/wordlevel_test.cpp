#include "graft/text/wordlevel.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "support/error_message.hpp"

namespace graft {
namespace {

TEST(WordLevel, AWordIsATokenOrUnknown) {
  const WordLevel model(Vocabulary({{"[UNK]", 0}, {"cat", 1}}, "test"), "[UNK]");
  const TextRange words[] = {{0, 3}, {4, 8}};
  std::vector<Token> tokens;
  model.encode("cat cats", words, tokens);
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].id, 1);
  EXPECT_EQ(tokens[1].id, 0);
  EXPECT_EQ(tokens[1].range, (TextRange{4, 8}));
}

TEST(WordLevel, WithoutATokenForUnknownWordsTheFirstOneIsAnError) {
  const WordLevel model(Vocabulary({{"cat", 0}}, "test"), "<unk>");
  const TextRange words[] = {{0, 3}};
  std::vector<Token> tokens;
  model.encode("cat", words, tokens);
  EXPECT_EQ(
      error_message([&] { model.encode("dog", words, tokens); }),
      "FormatError: the vocabulary has neither the word \"dog\" nor the token \"<unk>\", which stands for unknown "
      "words; add it to the file");
}

}  // namespace
}  // namespace graft
