#include "graft/text/unicode.hpp"

#include <gtest/gtest.h>

namespace graft {
namespace {

TEST(CharacterClasses, AreThoseOfTheReference) {
  EXPECT_TRUE(is_white_space(U'\u3000'));
  EXPECT_TRUE(is_white_space(U'\u0085'));
  EXPECT_FALSE(is_white_space(U'\u200B'));
  EXPECT_FALSE(is_white_space(U'\uFEFF'));
  EXPECT_TRUE(is_word_character(U'_'));
  EXPECT_TRUE(is_word_character(U'\u0301')) << "a mark belongs to its word";
  EXPECT_TRUE(is_word_character(U'語'));
  EXPECT_FALSE(is_word_character(U'-'));
}

}  // namespace
}  // namespace graft
