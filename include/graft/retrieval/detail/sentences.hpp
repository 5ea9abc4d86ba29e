#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "graft/core/utf8.hpp"

namespace graft::detail {

/// Ends of sentences beyond ASCII: Unicode's Sentence_Terminal of scripts in use, with their semicolons and colons.
inline constexpr char32_t kSentenceEnds[] = {
    0x037E, 0x0387, 0x0589, 0x061B, 0x061D, 0x061E, 0x061F, 0x06D4, 0x0700, 0x0701, 0x0702, 0x07F9, 0x0964, 0x0965,
    0x0E5B, 0x0F0D, 0x0F0E, 0x104A, 0x104B, 0x1362, 0x1364, 0x1367, 0x1368, 0x166E, 0x1735, 0x1736, 0x17D4, 0x17D5,
    0x1803, 0x1809, 0x1944, 0x1945, 0x1AA8, 0x1AA9, 0x1AAA, 0x1AAB, 0x1B5A, 0x1B5B, 0x1B5E, 0x1B5F, 0x1C3B, 0x1C3C,
    0x1C7E, 0x1C7F, 0x203C, 0x203D, 0x2047, 0x2048, 0x2049, 0x2E2E, 0x3002, 0xA4FF, 0xA60E, 0xA60F, 0xA6F3, 0xA6F7,
    0xA876, 0xA877, 0xA8CE, 0xA8CF, 0xA92F, 0xA9C8, 0xA9C9, 0xAA5D, 0xAA5E, 0xAA5F, 0xABEB, 0xFE12, 0xFE15, 0xFE16,
    0xFE52, 0xFE56, 0xFE57, 0xFF01, 0xFF0E, 0xFF1A, 0xFF1B, 0xFF1F, 0xFF61};

inline bool is_sentence_end(char32_t c) {
  return c >= kSentenceEnds[0] && std::binary_search(std::begin(kSentenceEnds), std::end(kSentenceEnds), c);
}

/// Quotes and brackets that may stand behind the end of a sentence, beyond ASCII, and the blanks that French puts
/// before its own.
inline constexpr char32_t kClosing[] = {0x00A0, 0x00BB, 0x2019, 0x201C, 0x201D, 0x202F, 0x203A, 0x3009, 0x300B,
                                        0x300D, 0x300F, 0x3011, 0x3015, 0x3017, 0x3019, 0x301B, 0x301E, 0x301F,
                                        0xFF02, 0xFF07, 0xFF09, 0xFF3D, 0xFF5D, 0xFF60, 0xFF63};

/// What a byte is between words and sentences.
enum ByteClass : std::uint8_t { kBlank = 1, kCloses = 2, kEndsSentence = 4, kEndsClause = 8, kBeyondAscii = 16 };

inline constexpr auto kByteClasses = [] {
  std::array<std::uint8_t, 256> out{};
  for (const unsigned char c : {' ', '\t', '\n', '\v', '\f', '\r'}) out[c] = kBlank;
  for (const unsigned char c : {'"', '\'', ')', ']', '}', '*', '_'}) out[c] = kCloses;
  for (const unsigned char c : {'.', '!', '?'}) out[c] = kEndsSentence;
  for (const unsigned char c : {':', ';'}) out[c] = kEndsClause;
  for (std::size_t c = 0x80; c < 256; ++c) out[c] = kBeyondAscii;
  return out;
}();

inline std::uint8_t byte_class(char c) { return kByteClasses[static_cast<unsigned char>(c)]; }

inline bool is_closing(char32_t c) {
  if (c < 0x80) return byte_class(static_cast<char>(c)) == kCloses;
  return std::binary_search(std::begin(kClosing), std::end(kClosing), c);
}

/// The character that ends at byte `end` of UTF-8 text; `end` is set to its begin.
inline char32_t character_before(std::string_view text, std::size_t& end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return decode_utf8(text, end).code_point;
}

/// Whether `text` ends as a sentence does, quotes and brackets left aside; `ascii` are the bytes that end one in ASCII.
inline bool ends_sentence(std::string_view text, int ascii) {
  for (std::size_t end = text.size(); end > 0;) {
    const std::uint8_t last = byte_class(text[end - 1]);
    if (last != kBeyondAscii) {
      if (last != kCloses) return last & ascii;
      --end;
      continue;
    }
    constexpr char32_t kEllipsis = 0x2026;
    if (const char32_t c = character_before(text, end); !is_closing(c)) return c == kEllipsis || is_sentence_end(c);
  }
  return false;
}

}  // namespace graft::detail
