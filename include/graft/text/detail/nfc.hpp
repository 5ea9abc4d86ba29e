#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/detail/code_points.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// Unicode's normal form C, with the origins that the reference gives: of characters that become one, the first's.
class Nfc {
 public:
  /// Normalizes `text` in place.
  void apply(AlignedText& text) const {
    if (ascii_length(text.bytes) == text.bytes.size()) return;
    AlignedText out;
    std::size_t calm = 0;  // where the last character begins that stays, whatever follows, apart from being composed
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.bytes.size();) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      if (!(table_.flags(step.code_point) & kComposes)) {
        calm = at;
        at += step.length;
        continue;
      }
      copy(text, done, calm, out);
      done = at = compose(text, calm, out);
      calm = at;
    }
    if (done == 0) return;
    copy(text, done, text.bytes.size(), out);
    text = std::move(out);
  }

 private:
  struct Part {
    std::uint32_t code_point;
    std::uint32_t combining_class;
    int change;  // 0: takes a character's place; 1: comes in addition; -n: takes the place of n more
  };

  static void copy(const AlignedText& from, std::size_t begin, std::size_t end, AlignedText& to) {
    to.bytes.append(from.bytes, begin, end - begin);
    const auto origin = from.origin.begin();
    to.origin.insert(to.origin.end(), origin + static_cast<std::ptrdiff_t>(begin),
                     origin + static_cast<std::ptrdiff_t>(end));
  }

  /// Adds the normal form of the characters from `begin` up to the next that composes with none; returns where that is.
  std::size_t compose(const AlignedText& text, std::size_t begin, AlignedText& out) const {
    std::vector<Part> parts;
    std::vector<TextRange> origins;
    std::size_t at = begin;
    while (at < text.bytes.size()) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      if (at > begin && !(table_.flags(step.code_point) & kComposes)) break;
      origins.push_back(text.origin[at]);
      append_decomposed(step.code_point, parts);
      at += step.length;
    }
    sort_marks(parts);
    std::size_t next = 0;
    for (const Part& part : recomposed(parts)) {
      TextRange origin{};
      if (part.change > 0) {
        if (next > 0) origin = origins[next - 1];
      } else {
        origin = origins[std::min(next, origins.size() - 1)];
        next += static_cast<std::size_t>(1 - part.change);
      }
      out.append(part.code_point, origin);
    }
    return at;
  }

  void append_decomposed(std::uint32_t c, std::vector<Part>& parts) const {
    CodePoints decomposition{c};
    if (table_.flags(c) & kDecomposes) decomposition = CodePointTable::decomposition(c);
    for (std::size_t i = 0; i < decomposition.size() && (i == 0 || decomposition[i] != 0); ++i) {
      const std::uint32_t part = decomposition[i];
      parts.push_back({part, table_.flags(part) & kCombines ? CodePointTable::combining_class(part) : 0, i > 0});
    }
  }

  static void sort_marks(std::vector<Part>& parts) {
    const auto combines = [](const Part& part) { return part.combining_class != 0; };
    for (auto run = parts.begin(); run != parts.end();) {
      const auto begin = std::find_if(run, parts.end(), combines);
      run = std::find_if_not(begin, parts.end(), combines);
      std::stable_sort(begin, run, [](const Part& a, const Part& b) { return a.combining_class < b.combining_class; });
    }
  }

  /// Unicode, section 3.11: each part joins the last starter unless one between them blocks it.
  static std::vector<Part> recomposed(const std::vector<Part>& parts) {
    std::vector<Part> out;
    std::size_t starter = SIZE_MAX;  // in `out`
    for (const Part& part : parts) {
      const bool adjacent = starter != SIZE_MAX && starter + 1 == out.size();
      const bool reachable = starter != SIZE_MAX && (adjacent || out.back().combining_class < part.combining_class);
      if (reachable) {
        if (const auto both = CodePointTable::composition(out[starter].code_point, part.code_point)) {
          out[starter].code_point = both;
          out[starter].change += part.change - 1;
          continue;
        }
      }
      if (part.combining_class == 0) starter = out.size();
      out.push_back(part);
    }
    return out;
  }

  const CodePointTable& table_ = CodePointTable::instance();
};

}  // namespace graft::detail
