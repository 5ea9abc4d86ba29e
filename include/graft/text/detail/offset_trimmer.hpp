#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "graft/core/utf8.hpp"
#include "graft/text/text_range.hpp"
#include "graft/text/unicode.hpp"

namespace graft::detail {

/// What ByteLevel's post-processor does with trim_offsets: a token's range loses the spaces that its spelling begins
/// and ends with.
struct OffsetTrimmer {
  bool on = false;
  bool prefix_space = false;  ///< a single space before the first token was put there and counts for nothing

  /// Of a token of `text` that is spelled so; `first` of it or not.
  void trim(std::string_view text, std::string_view spelled, bool first, TextRange& range) const {
    auto [leading, trailing] = spaces(spelled);
    if (leading == 1 && prefix_space && (first || range.begin == 0)) leading = 0;
    while (leading-- > 0 && range.begin < range.end) range.begin = next(text, range.begin);
    std::uint32_t end = range.end;
    for (; trailing > 0 && end > 0; --trailing) end = previous(text, end);
    if (trailing == 0) range.end = std::max(range.begin, end);  // else there are not so many characters
  }

 private:
  struct Spaces {
    int leading = 0, trailing = 0;
  };

  static Spaces spaces(std::string_view spelled) {
    constexpr char32_t spelled_space = 0x120;
    Spaces out;
    bool only_spaces = true;
    for (std::size_t at = 0; at < spelled.size();) {
      const Utf8Step step = decode_valid_utf8(spelled.data() + at);
      at += step.length;
      const bool space = step.code_point == spelled_space || is_white_space(step.code_point);
      only_spaces = only_spaces && space;
      out.leading += only_spaces;
      out.trailing = space ? out.trailing + 1 : 0;
    }
    return out;
  }
  static std::uint32_t next(std::string_view text, std::uint32_t at) {
    return at + decode_valid_utf8(text.data() + at).length;
  }
  static std::uint32_t previous(std::string_view text, std::uint32_t at) {
    while ((static_cast<unsigned char>(text[--at]) & 0xC0) == 0x80) {
    }
    return at;
  }
};

}  // namespace graft::detail
