#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "graft/core/mode.hpp"

namespace graft {

/// One step through text that should be UTF-8.
struct Utf8Step {
  char32_t code_point;  ///< U+FFFD where the bytes are not UTF-8
  std::uint8_t length;  ///< in bytes, 1 to 4; of a maximal subpart where the bytes are not UTF-8
  bool valid;
};

/// Decodes at `position`, which must lie inside `text`. A maximal subpart (Unicode, section 3.9) is the longest start
/// of a valid sequence, or one byte: what Rust's from_utf8_lossy, Python's "replace" and browsers turn into one U+FFFD.
Utf8Step decode_utf8(std::string_view text, std::size_t position);

/// The same for text that is known to be UTF-8, faster.
inline Utf8Step decode_valid_utf8(const char* at) {
  const auto byte = [at](int i) -> std::uint32_t { return static_cast<unsigned char>(at[i]); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2, true};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3, true};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4, true};
}

/// Adds the UTF-8 form of a Unicode scalar value, 1 to 4 bytes.
inline void append_utf8(std::string& text, char32_t c) {
  const auto put = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

/// How many bytes from `position` on are ASCII.
inline std::size_t ascii_length(std::string_view text, std::size_t position = 0) {
  std::size_t end = position;
  for (std::uint64_t eight; end + sizeof eight <= text.size(); end += sizeof eight) {
    std::memcpy(&eight, text.data() + end, sizeof eight);
    if (eight & 0x8080808080808080) break;
  }
  while (end < text.size() && static_cast<unsigned char>(text[end]) < 0x80) ++end;
  return end - position;
}

/// Where the first byte that is not UTF-8 lies; npos if there is none.
std::size_t find_invalid_utf8(std::string_view text);

inline bool is_utf8(std::string_view text) { return find_invalid_utf8(text) == text.npos; }

/// Whether byte `at` of UTF-8 begins a character or is the end.
inline bool is_character_border(std::string_view text, std::size_t at) {
  return at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/utf8-inl.hpp"
#endif
