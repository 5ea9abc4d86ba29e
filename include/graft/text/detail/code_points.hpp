#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "graft/core/mode.hpp"

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
  kAccent = 1 << 14,      ///< deleted by StripAccents: a mark of any kind
  kCompatible = 1 << 15,  ///< has a compatibility decomposition
};

/// Code points that one turns into: at most four, then zeros.
using CodePoints = std::array<std::uint32_t, 4>;

/// How a code point stands in a grapheme cluster.
enum class ClusterRole : std::uint8_t { other, extending, prepended, unjoined };

/// The flags of every code point, in pages of 256 that equal ones share; built once, about 100 kB.
class CodePointTable {
 public:
  static const CodePointTable& instance() {
    static const CodePointTable table;
    return table;
  }

  std::uint16_t flags(std::uint32_t c) const { return entries_[std::size_t{pages_[c >> 8]} << 8 | (c & 255)]; }

  /// 0 for a starter.
  static std::uint32_t combining_class(std::uint32_t c);

  /// The full canonical decomposition of a `c` with kDecomposes.
  static CodePoints decomposition(std::uint32_t c);

  /// The full compatibility decomposition of a `c` with kCompatible.
  static std::span<const std::uint32_t> compatible(std::uint32_t c);

  static ClusterRole cluster_role(std::uint32_t c);

  /// A number for each script that UnicodeScripts tells apart; 0 for what it takes as part of any.
  static std::uint32_t script(std::uint32_t c);

  /// What `a` and the `b` behind it become in NFC; 0 if they stay two.
  static std::uint32_t composition(std::uint32_t a, std::uint32_t b);

  /// The lower case of a `c` with kLowers.
  static CodePoints lower_case(std::uint32_t c);

 private:
  CodePointTable();

  std::array<std::uint16_t, 0x1100> pages_{};
  std::vector<std::uint16_t> entries_;
};

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/text/detail/code_points-inl.hpp"
#endif
