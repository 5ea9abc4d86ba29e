#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
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

/// How a mark stands to what is before it.
enum class MarkPlace {
  alone,
  glued,    ///< to a word: perhaps an index
  attached  ///< to a link's text or code: no index, but part of something
};

/// The same of a mark behind "]" or ")".
inline std::optional<MarkPlace> place_behind_bracket(std::string_view before) {
  const bool is_link = before.back() == ']';
  const std::size_t size = before.size();
  do {
    const std::size_t begin = bracket_begin(before);
    if (begin == before.npos) break;
    before = before.substr(0, begin);
  } while (!before.empty() && (before.back() == ']' || before.back() == ')') && size - before.size() < 400);
  if (!before.empty() && is_name_byte(before.back())) return std::nullopt;
  return is_link ? MarkPlace::attached : MarkPlace::alone;
}

/// How a mark stands behind `before`, and behind blanks that follow it if `has_blanks`; nothing if it cannot be one.
/// `is_plain`: it could be an index.
inline std::optional<MarkPlace> place_of_mark(std::string_view before, bool is_plain, bool has_blanks) {
  if (has_blanks || before.empty() || std::string_view(" \n\t").find(before.back()) != std::string_view::npos) {
    while (before.ends_with(' ')) before.remove_suffix(1);
    const bool is_value = before.ends_with('=') || before.ends_with("\":") || before.ends_with("':");
    return is_plain && is_value ? std::nullopt : std::optional(MarkPlace::alone);
  }
  const char c = before.back();
  if (!is_plain) return MarkPlace::alone;
  if (c == ']' || c == ')') return place_behind_bracket(before);
  if (is_name_byte(c)) return MarkPlace::glued;
  if (c == '`') return MarkPlace::attached;
  if (c == '(' && before.size() > 1 && is_name_byte(before[before.size() - 2])) return std::nullopt;  // a call
  if (static_cast<unsigned char>(c) >= 0x80 || std::string_view(".,;:!?\"'*~>|([").find(c) != std::string_view::npos)
    return MarkPlace::alone;
  return std::nullopt;
}

/// Whether only "-" or "/" stands between the mark that ends at `end` and the end of `text`.
inline bool joins_marks(std::string_view text, std::size_t end) {
  return end + 1 == text.size() && (text.back() == '-' || text.back() == '/');
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
