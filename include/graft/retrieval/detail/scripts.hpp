#pragma once

#include <utf8proc.h>

#include <algorithm>
#include <utility>

namespace graft::detail {

inline bool is_hangul_syllable(char32_t c) { return c >= 0xAC00 && c <= 0xD7A3; }

/// A part of a decomposed Hangul syllable.
inline bool is_jamo(char32_t c) { return c >= 0x1100 && c <= 0x11FF; }

/// A mark of any kind: it belongs to the letter before it.
inline bool is_mark(char32_t c) {
  if (c < 0x300) return false;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME;
}

/// Blocks of scripts that put no blanks between words: those whose lines Unicode breaks between any two letters (class
/// ID of UAX 14) or with a dictionary (class SA), and Hangul, where particles are written on to the word.
inline constexpr std::pair<char32_t, char32_t> kWithoutBlanks[] = {
    {0x0E00, 0x0EFF},    // Thai, Lao
    {0x1000, 0x109F},    // Myanmar
    {0x1100, 0x11FF},    // Hangul Jamo
    {0x1780, 0x17FF},    // Khmer
    {0x1950, 0x19DF},    // Tai Le, New Tai Lue
    {0x1A20, 0x1AAF},    // Tai Tham
    {0x2E80, 0x2FDF},    // radicals
    {0x3005, 0x3007},    // iteration mark, closing mark, zero
    {0x3021, 0x31BF},    // numerals, kana, bopomofo, Hangul Compatibility Jamo
    {0x31F0, 0x31FF},    // small katakana
    {0x3400, 0x4DBF},    // Han
    {0x4E00, 0xA4CF},    // Han, Yi
    {0xA960, 0xA97F},    // Hangul Jamo
    {0xA9E0, 0xA9FF},    // Myanmar
    {0xAA60, 0xAADF},    // Myanmar, Tai Viet
    {0xAC00, 0xD7FF},    // Hangul
    {0xF900, 0xFAFF},    // Han
    {0xFF66, 0xFFDC},    // half-width kana and Hangul
    {0x11700, 0x1174F},  // Ahom
    {0x16FE0, 0x18DFF},  // Tangut, Khitan
    {0x1AFF0, 0x1B2FF},  // kana, Nushu
    {0x20000, 0x3FFFD},  // Han
};

/// Whether `c` is of a script without blanks between words.
inline bool has_no_blanks(char32_t c) {
  if (c < kWithoutBlanks[0].first) return false;
  const auto* after = std::upper_bound(std::begin(kWithoutBlanks), std::end(kWithoutBlanks), c,
                                       [](char32_t value, const auto& range) { return value < range.first; });
  return c <= after[-1].second;
}

}  // namespace graft::detail
