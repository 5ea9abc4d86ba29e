#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/detail/code_points.hpp"

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
Utf8Step decode_valid_utf8(const char* at);

/// Adds the UTF-8 form of a Unicode scalar value, 1 to 4 bytes.
void append_utf8(std::string& text, char32_t c);

/// How many bytes from `position` on are ASCII.
std::size_t ascii_length(std::string_view text, std::size_t position = 0);

/// Where the first byte that is not UTF-8 lies; npos if there is none.
std::size_t find_invalid_utf8(std::string_view text);

/// One of the 25 characters with the property White_Space.
inline bool is_white_space(char32_t c) { return detail::CodePointTable::instance().flags(c) & detail::kWhiteSpace; }

/// A letter, mark, decimal digit, connector punctuation or joiner: \w of a Unicode regular expression.
inline bool is_word_character(char32_t c) { return detail::CodePointTable::instance().flags(c) & detail::kWord; }

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/unicode-inl.hpp"
#endif
