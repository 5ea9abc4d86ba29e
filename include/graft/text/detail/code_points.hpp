#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/detail/unicode_tables.hpp"

namespace graft::detail {

/// What is known of a code point, as bits.
enum CodePointFlag : std::uint16_t {
  kControl = 1 << 0,      ///< deleted by BERT's clean_text
  kChinese = 1 << 1,      ///< isolated by BERT's handle_chinese_chars
  kMark = 1 << 2,         ///< nonspacing mark
  kPunctuation = 1 << 3,  ///< isolated by BERT's pre-tokenizer
  kWord = 1 << 4,         ///< \w of a regular expression
  kWhiteSpace = 1 << 5,   ///< White_Space
  kDecomposes = 1 << 6,   ///< has a canonical decomposition
  kLowers = 1 << 7,       ///< has another lower case
  kCombines = 1 << 8,     ///< its combining class is not 0
  kReorders = 1 << 9,     ///< holds a combining character that strip_accents keeps: the order of marks then shows
  kLetter = 1 << 10,      ///< \p{L} of a regular expression
  kNumber = 1 << 11,      ///< \p{N}
  kDigit = 1 << 12,       ///< isolated by Digits
  kComposes = 1 << 13,    ///< NFC may change it, or join it with what stands before it
};

/// The 25 characters with the property White_Space.
inline constexpr CodePointRange white_space_ranges[] = {
    {0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};

/// Code points that one turns into: at most four, then zeros.
using CodePoints = std::array<std::uint32_t, 4>;

/// The flags of every code point, in pages of 256 that equal ones share; built once, about 100 kB.
class CodePointTable {
 public:
  static const CodePointTable& instance() {
    static const CodePointTable table;
    return table;
  }

  std::uint16_t flags(std::uint32_t c) const { return entries_[std::size_t{pages_[c >> 8]} << 8 | (c & 255)]; }

  /// 0 for a starter.
  static std::uint32_t combining_class(std::uint32_t c) {
    const auto* found = std::upper_bound(std::begin(combining_ranges), std::end(combining_ranges), c,
                                         [](std::uint32_t value, const auto& range) { return value < range.first; });
    return found == std::begin(combining_ranges) || std::prev(found)->last < c ? 0 : std::prev(found)->combining_class;
  }

  /// The full canonical decomposition of a `c` with kDecomposes.
  static CodePoints decomposition(std::uint32_t c) {
    constexpr std::uint32_t first_syllable = 0xAC00, last_syllable = 0xD7A3;
    if (c < first_syllable || c > last_syllable) return mapped(decomposition_mappings, c);
    // Unicode, section 3.12: 19 leading consonants x 21 vowels x (no or one of 27 trailing consonants).
    const std::uint32_t index = c - first_syllable;
    const std::uint32_t trailing = index % 28;
    return {0x1100 + index / (21 * 28), 0x1161 + index / 28 % 21, trailing == 0 ? 0 : 0x11A7 + trailing, 0};
  }

  /// The lower case of a `c` with kLowers.
  static CodePoints lower_case(std::uint32_t c) { return mapped(lower_case_mappings, c); }

 private:
  CodePointTable();

  template <int longest, std::size_t count>
  static CodePoints mapped(const CodePointMapping<longest> (&mappings)[count], std::uint32_t c) {
    static_assert(longest <= 4);
    const auto* found = std::lower_bound(std::begin(mappings), std::end(mappings), c,
                                         [](const auto& mapping, std::uint32_t value) { return mapping.from < value; });
    CodePoints out{};
    std::copy(std::begin(found->to), std::end(found->to), out.begin());
    return out;
  }

  std::array<std::uint16_t, 0x1100> pages_{};
  std::vector<std::uint16_t> entries_;
};

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/text/detail/code_points-inl.hpp"
#endif
