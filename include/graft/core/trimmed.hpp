#pragma once

#include <cstddef>
#include <string_view>

namespace graft {

/// `text` without blanks at its ends, those of ASCII unless others are given. Refers to the same bytes.
inline std::string_view trimmed(std::string_view text, std::string_view blanks = " \t\r\n\f\v") {
  const std::size_t first = text.find_first_not_of(blanks);
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

}  // namespace graft
