#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "graft/core/utf8.hpp"

namespace graft::detail {

// A server that sends UTF-16 units as they come puts the two halves of one character into two chunks: "\ud83d" and
// "\ude00", neither of which is text. In between each half is a stand-in: U+10FFFF, which is no character and no one
// sends, and U+F0000 plus its eleven bits.

inline constexpr char32_t kHalfMark = 0x10FFFF, kHalfBase = 0xF0000;

/// The unit of the escape "\uXXXX" that is a half of a character and begins at `at`.
inline std::optional<char32_t> half_escape(std::string_view json, std::size_t at) {
  if (at + 6 > json.size() || json[at] != '\\' || json[at + 1] != 'u') return std::nullopt;
  char32_t unit = 0;
  for (const char c : json.substr(at + 2, 4)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    unit = unit << 4 | static_cast<char32_t>(digit);
  }
  return unit >= 0xD800 && unit <= 0xDFFF ? std::optional(unit) : std::nullopt;
}

/// JSON text in which each half that stands alone is its stand-in; all else as it was.
inline std::string stand_in_for_halves(std::string_view json) {
  std::string out;
  for (std::size_t at = 0; at < json.size();) {
    const std::size_t next = std::min(json.find('\\', at), json.size());
    out += json.substr(at, next - at);
    at = next;
    if (at == json.size()) break;
    const auto half = half_escape(json, at);
    const auto second = half && *half < 0xDC00 ? half_escape(json, at + 6) : std::nullopt;
    if (!half || (second && *second >= 0xDC00)) {
      const std::size_t size = half ? 12 : 2;
      out += json.substr(at, size);
      at += std::min(size, json.size() - at);
    } else {
      append_utf8(out, kHalfMark);
      append_utf8(out, kHalfBase + (*half - 0xD800));
      at += 6;
    }
  }
  return out;
}

/// Joins the halves that stand at the ends of pieces of text. One without the other is U+FFFD.
class HalfJoiner {
 public:
  /// The text of `piece` as far as it is known.
  std::string add(std::string_view piece) {
    std::string mark, out;
    append_utf8(mark, kHalfMark);
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t next = std::min(piece.find(mark, at), piece.size());
      if (next > at) out += finish();
      out += piece.substr(at, next - at);
      at = next;
      if (at + mark.size() >= piece.size()) {
        out += piece.substr(at);
        break;
      }
      const Utf8Step step = decode_utf8(piece, at + mark.size());
      const char32_t unit = step.code_point - kHalfBase + 0xD800;
      if (step.code_point < kHalfBase || unit > 0xDFFF) {
        out += finish() + mark;
        at += mark.size();
        continue;
      }
      at += mark.size() + step.length;
      if (unit >= 0xDC00 && first_) {
        append_utf8(out, 0x10000 + ((*first_ - 0xD800) << 10) + (unit - 0xDC00));
        first_.reset();
      } else {
        out += finish();
        if (unit < 0xDC00) first_ = unit;
        if (unit >= 0xDC00) append_utf8(out, 0xFFFD);
      }
    }
    return out;
  }

  /// What is left of a first half that no second one follows.
  std::string finish() {
    std::string out;
    if (first_) append_utf8(out, 0xFFFD);
    first_.reset();
    return out;
  }

 private:
  std::optional<char32_t> first_;
};

}  // namespace graft::detail
