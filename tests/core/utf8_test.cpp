#include "graft/core/utf8.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace graft {
namespace {

TEST(Utf8, EveryScalarValueSurvivesTheRoundTrip) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Step step = decode_utf8(text, 0);
    ASSERT_TRUE(step.valid) << static_cast<std::uint32_t>(c);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.length, text.size());
    ASSERT_EQ(decode_valid_utf8(text.data()).code_point, c);
    ASSERT_EQ(decode_valid_utf8(text.data()).length, text.size());
    ASSERT_EQ(find_invalid_utf8(text), std::string::npos);
  }
}

// Unicode 15.0, section 3.9, tables 3-8 to 3-11: how many U+FFFD stand for each sequence.
TEST(Utf8, InvalidBytesFallIntoMaximalSubparts) {
  const std::pair<std::string, int> known[] = {
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82", 8},  // overlong forms
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF", 8},  // surrogates
      {"\xF4\x91\x92\x93\xFF", 5},              // above U+10FFFF
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", 4},  // cut short
      {"\xF0\x9F\x98", 1},
      {"\xC2", 1},  // cut short by the end
  };
  for (const auto& [text, expected] : known) {
    int steps = 0;
    for (std::size_t at = 0; at < text.size(); ++steps) {
      const Utf8Step step = decode_utf8(text, at);
      EXPECT_FALSE(step.valid);
      EXPECT_EQ(step.code_point, 0xFFFDu);
      at += step.length;
    }
    EXPECT_EQ(steps, expected);
  }
}

TEST(Utf8, FindsTheFirstInvalidByteAtAnyDistance) {
  for (std::size_t length = 0; length < 40; ++length) {
    EXPECT_EQ(find_invalid_utf8(std::string(length, 'x') + "\xFFyz"), length);
    EXPECT_EQ(find_invalid_utf8("é" + std::string(length, 'x') + "\xC3"), length + 2);
    EXPECT_EQ(ascii_length(std::string(length, 'x') + "é"), length);
  }
}

}  // namespace
}  // namespace graft
