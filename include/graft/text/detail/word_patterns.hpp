#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "graft/text/unicode.hpp"

namespace graft::detail {

/// What the regular expressions of byte-level tokenizers tell apart: \p{L}, \p{N}, \s and the rest.
enum class CharacterKind : std::uint8_t { other, letter, number, space, end };

struct PatternCharacter {
  CharacterKind kind = CharacterKind::end;
  std::uint8_t length = 0;
};

inline CharacterKind kind_of(char32_t c) {
  const std::uint16_t flags = CodePointTable::instance().flags(c);
  return flags & kLetter       ? CharacterKind::letter
         : flags & kNumber     ? CharacterKind::number
         : flags & kWhiteSpace ? CharacterKind::space
                               : CharacterKind::other;
}

inline PatternCharacter pattern_character(std::string_view text, std::size_t at) {
  static const auto ascii = [] {
    std::array<CharacterKind, 128> kinds{};
    for (char32_t c = 0; c < 128; ++c) kinds[c] = kind_of(c);
    return kinds;
  }();
  if (at >= text.size()) return {};
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 128) return {ascii[byte], 1};
  const Utf8Step step = decode_valid_utf8(text.data() + at);
  return {kind_of(step.code_point), step.length};
}

/// Where the run of characters of that kind, at most `most`, ends.
inline std::size_t run_end(std::string_view text, std::size_t at, CharacterKind kind, std::size_t most = SIZE_MAX) {
  for (; most > 0; --most) {
    const PatternCharacter next = pattern_character(text, at);
    if (next.kind != kind) break;
    at += next.length;
  }
  return at;
}

inline bool is_line_end(std::string_view text, std::size_t at) {
  return at < text.size() && (text[at] == '\n' || text[at] == '\r');
}

/// The length of 's 't 're 've 'm 'll 'd at `at`, 0 if there is none.
inline std::size_t contraction_length(std::string_view text, std::size_t at, bool any_case) {
  if (text[at] != '\'') return 0;
  const auto letter = [&](std::size_t i) -> char {
    if (at + i >= text.size()) return 0;
    const char c = text[at + i];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return letter(2) == 'e' ? 3 : 0;
    case 'l':
      return letter(2) == 'l' ? 3 : 0;
    default:
      // U+017F, the long s, is an s in another case.
      return any_case && text.substr(at + 1).starts_with("\u017F") ? 3 : 0;
  }
}

/// \s+(?!\S)|\s+ at white space: all of it before the end of the text; else all but the last character, which goes with
/// the word behind it; a single one alone.
inline std::size_t space_end(std::string_view text, std::size_t at) {
  std::size_t last = at, end = at;
  for (PatternCharacter next; (next = pattern_character(text, end)).kind == CharacterKind::space; end += next.length) {
    last = end;
  }
  return end == text.size() || last == at ? end : last;
}

/// The expression of GPT-2, which ByteLevel has built in.
struct Gpt2Pattern {
  static constexpr std::string_view expression =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

  /// Where the match that begins at `at`, inside the text, ends.
  static std::size_t match(std::string_view text, std::size_t at) {
    if (const std::size_t length = contraction_length(text, at, false)) return at + length;
    const std::size_t begin = at + (text[at] == ' ');
    const CharacterKind kind = pattern_character(text, begin).kind;
    const bool word = kind != CharacterKind::space && kind != CharacterKind::end;
    return word ? run_end(text, begin, kind) : space_end(text, at);
  }
};

/// The expression of Llama 3 (three digits a word) and of Qwen 2 and 3 (one).
template <std::size_t digits>
struct Llama3Pattern {
  static constexpr std::string_view expression =
      digits == 1 ? R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                    R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
                  : R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

  static std::size_t match(std::string_view text, std::size_t at) {
    if (const std::size_t length = contraction_length(text, at, true)) return at + length;
    const PatternCharacter first = pattern_character(text, at);
    if (first.kind == CharacterKind::number) return run_end(text, at, CharacterKind::number, digits);
    const std::size_t second = first.kind == CharacterKind::letter || is_line_end(text, at) ? at : at + first.length;
    if (pattern_character(text, second).kind == CharacterKind::letter) {
      return run_end(text, second, CharacterKind::letter);
    }
    const std::size_t begin = at + (text[at] == ' ');
    if (pattern_character(text, begin).kind == CharacterKind::other) {
      std::size_t end = run_end(text, begin, CharacterKind::other);
      while (is_line_end(text, end)) ++end;
      return end;
    }
    // White space up to its last line end, if it has one.
    std::size_t lines = 0, end = at;
    for (PatternCharacter next; (next = pattern_character(text, end)).kind == CharacterKind::space;) {
      end += next.length;
      if (is_line_end(text, end - 1)) lines = end;
    }
    return lines > 0 ? lines : space_end(text, at);
  }
};

/// Digits of every script, one by one or in runs, and what lies between.
template <std::size_t digits>
struct DigitsPattern {
  static std::size_t match(std::string_view text, std::size_t at) {
    const auto digit = [&](std::size_t i) {
      return (CodePointTable::instance().flags(decode_valid_utf8(text.data() + i).code_point) & kDigit) != 0;
    };
    const bool wanted = digit(at);
    for (std::size_t count = 0; at < text.size() && digit(at) == wanted && !(wanted && count == digits); ++count) {
      at += decode_valid_utf8(text.data() + at).length;
    }
    return at;
  }
};

}  // namespace graft::detail
