#include "graft/text/detail/precompiled.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "graft/text/detail/rewrites.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

/// A double array of one-byte keys: the root's children in block 1, the value of each in a block of its own.
std::vector<std::uint32_t> units_of(const std::map<char, std::uint32_t>& values) {
  std::vector<std::uint32_t> units(256 * (values.size() + 2));
  units[0] = 256u << 10;
  std::uint32_t block = 512;
  for (const auto& [key, value] : values) {
    const std::uint32_t place = 256 | static_cast<unsigned char>(key);
    units[place] = (place ^ block) << 10 | 1u << 8 | static_cast<unsigned char>(key);
    units[block] = 1u << 31 | value;
    block += 256;
  }
  return units;
}

std::string rules_of(const std::vector<std::uint32_t>& units, const std::string& texts) {
  const auto bytes = static_cast<std::uint32_t>(units.size() * 4);
  std::string out(sizeof bytes + bytes, '\0');
  std::memcpy(out.data(), &bytes, sizeof bytes);
  std::memcpy(out.data() + sizeof bytes, units.data(), bytes);
  return out + texts;
}

AlignedText applied(const std::string& rules, const std::string& text) {
  AlignedText out;
  detail::PlainNormalizer().normalize(text, 0, out);
  detail::Precompiled(rules).apply(out);
  return out;
}

// Measured with tokenizers 0.23.3.
TEST(Precompiled, AClusterOfLessThanSixBytesIsLookedUpWhole) {
  const std::string rules = rules_of(units_of({{'a', 0}, {'b', 3}, {'\r', 5}}), std::string("xy\0\0-\0", 6));
  const AlignedText text = applied(rules, "cad");
  EXPECT_EQ(text.bytes, "cxyd");
  EXPECT_EQ(text.origin, (std::vector<TextRange>{{0, 1}, {1, 2}, {1, 2}, {2, 3}}));
  EXPECT_EQ(applied(rules, "a\u0301c").bytes, "xyc") << "the mark goes with its letter";
  EXPECT_EQ(applied(rules, "a\u0301\u0301\u0301c").bytes, "xy\u0301\u0301\u0301c") << "seven bytes";
  EXPECT_EQ(applied(rules, "cbd").bytes, "cd");
}

TEST(Precompiled, RulesThatLeadOutOfTheFileAreErrors) {
  const std::vector<std::uint32_t> units = units_of({{'a', 9}});
  EXPECT_EQ(
      error_message([&] { applied(rules_of(units, std::string("x\0", 2)), "a"); }),
      "FormatError: a rule of the tokenizer's normalizer leads to no text of at most 64 bytes; fetch the file again");
  EXPECT_EQ(
      error_message([&] { applied(rules_of(units, std::string(100, 'x')), "a"); }),
      "FormatError: a rule of the tokenizer's normalizer leads to no text of at most 64 bytes; fetch the file again");
  std::vector<std::uint32_t> far = units;
  far[256 | 'a'] = 0x1FFFFFu << 10 | 1u << 8 | 'a';
  EXPECT_EQ(error_message([&] { applied(rules_of(far, "x"), "a"); }),
            "FormatError: the rules of the tokenizer's normalizer lead out of their array; fetch the file again");
  EXPECT_EQ(applied(rules_of({0xFFFFFFFFu}, ""), "abc").bytes, "abc");
  EXPECT_EQ(error_message([] { detail::Precompiled(""); }),
            "FormatError: rules of 0 bytes with an array of 0; the array has four or a multiple, all of them there");
  EXPECT_EQ(error_message([] { detail::Precompiled(rules_of({1}, "\xFF")); }),
            "FormatError: the texts of the rules are not UTF-8");
}

TEST(Base64, GivesTheBytes) {
  EXPECT_EQ(detail::base64_bytes(""), "");
  EXPECT_EQ(detail::base64_bytes("Zg=="), "f");
  EXPECT_EQ(detail::base64_bytes("Zm8="), "fo");
  EXPECT_EQ(detail::base64_bytes("Zm9vYmFy"), "foobar");
  for (const char* broken : {"Zg=", "Zg", "Z===", "Z=g=", "Zm9v====", "Zm9!"}) {
    EXPECT_EQ(detail::base64_bytes(broken), std::nullopt) << broken;
  }
}

}  // namespace
}  // namespace graft
