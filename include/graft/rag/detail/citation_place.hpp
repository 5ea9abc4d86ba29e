#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace graft::detail {

inline bool is_name_byte(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Where the bracket begins that the last byte of `text` closes; npos if that is far away or nowhere.
inline std::size_t bracket_begin(std::string_view text) {
  const char close = text.back(), open = close == ']' ? '[' : '(';
  std::size_t depth = 0;
  for (std::size_t at = text.size(); at > 0 && text.size() - at < 200 && text[at - 1] != '\n'; --at) {
    if (text[at - 1] == close) ++depth;
    if (text[at - 1] == open && --depth == 0) return at - 1;
  }
  return std::string_view::npos;
}

/// The word at the end of `text`, of ASCII letters, digits and "_".
inline std::string_view last_word(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0 && text.size() - begin < 64 && is_name_byte(text[begin - 1])) --begin;
  return text.substr(begin);
}

/// Whether the end of `text` is a word of a sentence rather than a name in a program.
inline bool ends_with_plain_word(std::string_view text) {
  const std::string_view word = last_word(text);
  if (word.size() < 2) return false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const bool is_lower = word[i] >= 'a' && word[i] <= 'z', is_upper = word[i] >= 'A' && word[i] <= 'Z';
    if (!is_lower && !is_upper) return false;
    if (i > 0 && is_upper && word[i - 1] >= 'a') return false;
  }
  return word.size() == text.size() ||
         std::string_view("._$@#&/\\>:=").find(text[text.size() - word.size() - 1]) == std::string_view::npos;
}

/// Whether a clause ends where `rest` begins.
inline bool begins_behind_clause(std::string_view rest) {
  constexpr std::string_view stops = ".,;!?)\"'*_";
  for (const char c : rest) {
    if (c == '\n' || c == '\r' || static_cast<unsigned char>(c) >= 0x80) return true;
    if (c == ' ') return rest[0] != ' ' || rest.find_first_not_of(" \n") == std::string_view::npos;
    if (stops.find(c) == std::string_view::npos) return false;
  }
  return true;
}

}  // namespace graft::detail
