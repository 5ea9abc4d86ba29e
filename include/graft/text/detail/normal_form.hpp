#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/detail/code_points.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// Unicode's normal forms: D decomposes, C composes again; K takes compatibility characters apart too.
enum class NormalFormKind : std::uint8_t { nfc, nfd, nfkc, nfkd };

/// A text in a normal form, with the origins that the reference gives: of characters that become one, the first's.
class NormalForm {
 public:
  explicit NormalForm(NormalFormKind kind)
      : composes_(kind == NormalFormKind::nfc || kind == NormalFormKind::nfkc),
        compatible_(kind == NormalFormKind::nfkc || kind == NormalFormKind::nfkd) {
    relevant_ =
        static_cast<std::uint16_t>((composes_ ? kComposes : kDecomposes | kCombines) | (compatible_ ? kCompatible : 0));
  }

  /// Normalizes `text` in place.
  void apply(AlignedText& text) const {
    if (ascii_length(text.bytes) == text.bytes.size()) return;
    AlignedText out;
    std::size_t calm = 0;  // where the last character begins that stays, whatever follows, apart from being composed
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.bytes.size();) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      if (!changes(step.code_point)) {
        calm = at;
        at += step.length;
        continue;
      }
      const std::size_t begin = composes_ ? std::max(calm, done) : at;
      copy(text, done, begin, out);
      done = at = normalize(text, begin, out);
      calm = at;
    }
    if (done == 0) return;
    copy(text, done, text.bytes.size(), out);
    out.begin = text.begin;
    text = std::move(out);
  }

 private:
  struct Part {
    std::uint32_t code_point;
    std::uint32_t combining_class;
    int change;  // 0: takes a character's place; 1: comes in addition; -n: takes the place of n more
  };

  bool changes(std::uint32_t c) const { return table_.flags(c) & relevant_; }

  static void copy(const AlignedText& from, std::size_t begin, std::size_t end, AlignedText& to) {
    to.bytes.append(from.bytes, begin, end - begin);
    const auto origin = from.origin.begin();
    to.origin.insert(to.origin.end(), origin + static_cast<std::ptrdiff_t>(begin),
                     origin + static_cast<std::ptrdiff_t>(end));
  }

  /// Adds the normal form of the characters from `begin` up to the next that is not changed; returns where that is.
  std::size_t normalize(const AlignedText& text, std::size_t begin, AlignedText& out) const {
    std::vector<Part> parts;
    std::vector<TextRange> origins;
    std::size_t at = begin;
    while (at < text.bytes.size()) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      if (at > begin && !changes(step.code_point)) break;
      origins.push_back(text.origin[at]);
      append_decomposed(step.code_point, parts);
      at += step.length;
    }
    sort_marks(parts);
    std::size_t next = 0;
    for (const Part& part : composes_ ? recomposed(parts) : parts) {
      TextRange origin{};
      if (part.change > 0) {
        origin = next > 0 ? origins[next - 1] : text.origin_before(begin);
      } else {
        origin = origins[std::min(next, origins.size() - 1)];
        next += static_cast<std::size_t>(1 - part.change);
      }
      out.append(part.code_point, origin);
    }
    return at;
  }

  void append_decomposed(std::uint32_t c, std::vector<Part>& parts) const {
    const auto append = [&parts, this](std::uint32_t part, bool added) {
      parts.push_back({part, table_.flags(part) & kCombines ? CodePointTable::combining_class(part) : 0, added});
    };
    if (compatible_ && table_.flags(c) & kCompatible) {
      bool added = false;
      for (const std::uint32_t part : CodePointTable::compatible(c)) append(part, std::exchange(added, true));
      return;
    }
    CodePoints decomposition{c};
    if (table_.flags(c) & kDecomposes) decomposition = CodePointTable::decomposition(c);
    for (std::size_t i = 0; i < decomposition.size() && (i == 0 || decomposition[i] != 0); ++i) {
      append(decomposition[i], i > 0);
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
  bool composes_, compatible_;
  std::uint16_t relevant_ = 0;
};

}  // namespace graft::detail
