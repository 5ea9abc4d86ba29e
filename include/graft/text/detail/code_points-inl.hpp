#pragma once

#include "graft/text/detail/code_points.hpp"

namespace graft::detail {

GRAFT_INLINE CodePointTable::CodePointTable() {
  std::vector<std::uint16_t> all(0x110000);
  const auto mark = [&all](std::span<const CodePointRange> ranges, std::uint16_t flag) {
    for (const auto& range : ranges) {
      for (std::uint32_t c = range.first; c <= range.last; ++c) all[c] |= flag;
    }
  };
  mark(control_ranges, kControl);
  mark(chinese_ranges, kChinese);
  mark(mark_ranges, kMark);
  mark(punctuation_ranges, kPunctuation);
  mark(word_ranges, kWord);
  mark(white_space_ranges, kWhiteSpace);
  mark(letter_ranges, kLetter);
  mark(number_ranges, kNumber);
  mark(digit_ranges, kDigit);
  mark(uncomposed_ranges, kComposes);
  mark(std::array{CodePointRange{0x1161, 0x1175}, CodePointRange{0x11A8, 0x11C2}}, kComposes);  // parts of syllables
  mark(std::array{CodePointRange{0xAC00, 0xD7A3}}, kDecomposes);
  for (const auto& range : combining_ranges) {
    for (std::uint32_t c = range.first; c <= range.last; ++c) {
      all[c] |= kComposes | (all[c] & kMark ? kCombines : kCombines | kReorders);
    }
  }
  for (const auto& mapping : decomposition_mappings) {
    all[mapping.from] |= kDecomposes;
    for (const std::uint32_t part : mapping.to) all[mapping.from] |= all[part] & kReorders;
    for (std::size_t i = 1; i < std::size(mapping.to) && mapping.to[i] != 0; ++i) all[mapping.to[i]] |= kComposes;
  }
  for (const auto& mapping : lower_case_mappings) all[mapping.from] |= kLowers;

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

}  // namespace graft::detail
