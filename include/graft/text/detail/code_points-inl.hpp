#pragma once

#include <algorithm>
#include <iterator>
#include <unordered_map>

#include "graft/text/detail/code_points.hpp"
#include "graft/text/detail/unicode_tables.hpp"

namespace graft::detail {

/// The 25 characters with the property White_Space.
inline constexpr CodePointRange white_space_ranges[] = {
    {0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};

// Unicode, section 3.12: 19 leading consonants x 21 vowels x (no or one of 27 trailing consonants) are a syllable.
inline constexpr std::uint32_t kFirstSyllable = 0xAC00, kLastSyllable = 0xD7A3;

/// Of ranges in order, the one that holds `c`; null if none does.
template <class Range, std::size_t count>
const Range* range_of(const Range (&ranges)[count], std::uint32_t c) {
  const Range* behind = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                         [](std::uint32_t value, const Range& range) { return value < range.first; });
  return behind == std::begin(ranges) || std::prev(behind)->last < c ? nullptr : std::prev(behind);
}

GRAFT_INLINE CodePointTable::CodePointTable() {
  std::vector<std::uint16_t> all(0x110000);
  const auto mark = [&all](std::span<const CodePointRange> ranges, std::uint16_t flag) {
    for (const auto& range : ranges) {
      for (std::uint32_t c = range.first; c <= range.last; ++c) all[c] |= flag;
    }
  };
  mark(control_ranges, kControl);
  mark(chinese_ranges, kChinese);
  mark(mark_ranges, kMark | kWord | kAccent);
  mark(accent_ranges, kAccent);
  mark(punctuation_ranges, kPunctuation);
  mark(word_ranges, kWord);
  mark(white_space_ranges, kWhiteSpace);
  mark(letter_ranges, kLetter | kWord);
  mark(number_ranges, kNumber | kDigit);
  mark(digit_ranges, kDigit);
  mark(uncomposed_ranges, kComposes);
  mark(std::array{CodePointRange{0x1161, 0x1175}, CodePointRange{0x11A8, 0x11C2}}, kComposes);  // parts of syllables
  mark(std::array{CodePointRange{kFirstSyllable, kLastSyllable}}, kDecomposes);
  for (const auto& range : combining_ranges) {
    for (std::uint32_t c = range.first; c <= range.last; ++c) {
      all[c] |= kComposes | (all[c] & kMark ? kCombines : kCombines | kReorders);
    }
  }
  for (const auto& range : decomposed_ranges) {
    for (std::uint32_t c = range.first; c <= range.last; ++c) {
      all[c] |= kDecomposes | (all[decomposed_to[range.at + c - range.first]] & kReorders);
    }
  }
  for (const auto& pair : decomposed_pairs) {
    all[pair.from] |= kDecomposes;
    for (const std::uint32_t part : decomposition(pair.from)) all[pair.from] |= all[part] & kReorders;
    all[pair.second] |= kComposes;
  }
  for (const auto& range : compatible_ranges) {
    for (std::uint32_t c = range.first; c <= range.last; ++c) all[c] |= kCompatible;
  }
  for (const auto& range : lower_case_ranges) {
    for (std::uint32_t c = range.first; c <= range.last; c += range.step) all[c] |= kLowers;
  }
  all[0x130] |= kLowers;

  for (std::size_t page = 0; page < pages_.size(); ++page) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(page << 8);
    std::size_t same = 0;
    while (same << 8 < entries_.size() &&
           !std::equal(begin, begin + 256, entries_.begin() + static_cast<std::ptrdiff_t>(same << 8))) {
      ++same;
    }
    if (same << 8 == entries_.size()) entries_.insert(entries_.end(), begin, begin + 256);
    pages_[page] = static_cast<std::uint16_t>(same);
  }
}

GRAFT_INLINE std::uint32_t CodePointTable::combining_class(std::uint32_t c) {
  const CombiningRange* range = range_of(combining_ranges, c);
  return range ? range->combining_class : 0;
}

GRAFT_INLINE CodePoints CodePointTable::decomposition(std::uint32_t c) {
  if (c >= kFirstSyllable && c <= kLastSyllable) {
    const std::uint32_t index = c - kFirstSyllable, trailing = index % 28;
    return {0x1100 + index / (21 * 28), 0x1161 + index / 28 % 21, trailing == 0 ? 0 : 0x11A7 + trailing, 0};
  }
  if (const DecomposedRange* range = range_of(decomposed_ranges, c))
    return {decomposed_to[range->at + c - range->first]};
  const auto* pair = std::lower_bound(std::begin(decomposed_pairs), std::end(decomposed_pairs), c,
                                      [](const auto& p, std::uint32_t value) { return p.from < value; });
  if (pair == std::end(decomposed_pairs) || pair->from != c) return {c};
  CodePoints parts = decomposition(pair->first);
  *std::find(parts.begin(), parts.end(), 0u) = pair->second;
  return parts;
}

GRAFT_INLINE std::span<const std::uint32_t> CodePointTable::compatible(std::uint32_t c) {
  const CompatibleRange* range = range_of(compatible_ranges, c);
  return {compatible_to + range->at + (c - range->first) * range->length, range->length};
}

GRAFT_INLINE ClusterRole CodePointTable::cluster_role(std::uint32_t c) {
  return range_of(extending_ranges, c)   ? ClusterRole::extending
         : range_of(prepended_ranges, c) ? ClusterRole::prepended
         : range_of(unjoined_ranges, c)  ? ClusterRole::unjoined
                                         : ClusterRole::other;
}

GRAFT_INLINE std::uint32_t CodePointTable::script(std::uint32_t c) {
  const ScriptRange* range = range_of(script_ranges, c);
  return range ? range->script : 1;
}

GRAFT_INLINE std::uint32_t CodePointTable::composition(std::uint32_t a, std::uint32_t b) {
  if (a >= 0x1100 && a < 0x1113 && b >= 0x1161 && b < 0x1176)
    return kFirstSyllable + ((a - 0x1100) * 21 + b - 0x1161) * 28;
  if (a >= kFirstSyllable && a <= kLastSyllable && (a - kFirstSyllable) % 28 == 0 && b > 0x11A7 && b < 0x11C3)
    return a + b - 0x11A7;
  static const auto composed = [] {
    std::unordered_map<std::uint64_t, std::uint32_t> out;
    for (const auto& pair : decomposed_pairs) {
      if (!range_of(uncomposed_ranges, pair.from))
        out.emplace(std::uint64_t{pair.first} << 32 | pair.second, pair.from);
    }
    return out;
  }();
  const auto found = composed.find(std::uint64_t{a} << 32 | b);
  return found == composed.end() ? 0 : found->second;
}

GRAFT_INLINE CodePoints CodePointTable::lower_case(std::uint32_t c) {
  if (c == 0x130) return {0x69, 0x307};
  const LowerCaseRange* range = range_of(lower_case_ranges, c);
  return {range->to + c - range->first};
}

}  // namespace graft::detail
