#pragma once

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/retrieval/detail/scripts.hpp"
#include "graft/retrieval/word_line.hpp"

namespace graft {

namespace detail {

/// Gathers words from code points.
class WordLine {
 public:
  explicit WordLine(std::size_t bytes) { line_.reserve(bytes); }

  /// A word of letters and digits of ASCII.
  void add_ascii(std::string_view word) {
    begin_word();
    for (const char c : word) line_ += lower(c);
  }

  /// Text that begins and ends where words do.
  void add(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = decode_utf8(text, at);
      at += step.length;
      add(step.code_point);
    }
    flush();
  }

  std::string take() { return std::move(line_); }

 private:
  static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

  void begin_word() {
    if (!line_.empty()) line_ += ' ';
  }

  void add(char32_t c) {
    constexpr char32_t kZeroWidthSpace = 0x200B, kTatweel = 0x640;
    if (c < 0x80) return add_part(static_cast<std::int32_t>(lower(static_cast<char>(c))), Kind::plain);
    if (c == kZeroWidthSpace) return flush();
    if (c == kTatweel) return;
    if (is_hangul_syllable(c)) return add_part(static_cast<std::int32_t>(c), Kind::pairs);
    std::array<std::int32_t, 32> parts;  // no character has more than 18
    int last_class = UTF8PROC_BOUNDCLASS_START;
    const auto options =
        static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
    const auto count =
        utf8proc_decompose_char(static_cast<std::int32_t>(c), parts.data(), parts.size(), options, &last_class);
    for (utf8proc_ssize_t i = 0; i < count; ++i) add_folded(parts[static_cast<std::size_t>(i)]);
  }

  void add_folded(std::int32_t c) {
    const utf8proc_property_t* property = utf8proc_get_property(c);
    switch (property->category) {
      case UTF8PROC_CATEGORY_LU:
      case UTF8PROC_CATEGORY_LL:
      case UTF8PROC_CATEGORY_LT:
      case UTF8PROC_CATEGORY_LM:
      case UTF8PROC_CATEGORY_LO:
      case UTF8PROC_CATEGORY_NL:
      case UTF8PROC_CATEGORY_CO:
        return add_part(c, has_no_blanks(static_cast<char32_t>(c)) ? Kind::pairs : Kind::plain);
      case UTF8PROC_CATEGORY_ND:
      case UTF8PROC_CATEGORY_NO:
        return add_part(c, Kind::plain);
      case UTF8PROC_CATEGORY_MN:
      case UTF8PROC_CATEGORY_MC:
        if (is_diacritic(property->combining_class)) return;
        composes_ = true;
        return add_part(c, word_.empty() ? Kind::plain : kind_);
      case UTF8PROC_CATEGORY_ME:
        return;
      default:
        flush();
    }
  }

  static bool is_diacritic(std::int16_t combining_class) {
    return combining_class == 1 || (combining_class >= 10 && combining_class <= 36) ||
           (combining_class >= 200 && combining_class <= 240);
  }

  enum class Kind : std::uint8_t { plain, pairs };

  void add_part(std::int32_t c, Kind kind) {
    if (kind != kind_) flush();
    kind_ = kind;
    composes_ = composes_ || is_jamo(static_cast<char32_t>(c));
    word_.push_back(c);
  }

  void flush() {
    if (word_.empty()) return;
    if (composes_) compose();
    if (kind_ == Kind::plain) {
      append(0, word_.size());
    } else {
      append_pairs();
    }
    word_.clear();
    composes_ = false;
  }

  /// The marks in canonical order, then all composed.
  void compose() {
    const auto combining_class = [](std::int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (auto first = word_.begin(); first != word_.end();) {
      first = std::find_if(first, word_.end(), combining_class);
      const auto last = std::find_if_not(first, word_.end(), combining_class);
      std::stable_sort(first, last, [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
      first = last;
    }
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    const auto size = utf8proc_normalize_utf32(word_.data(), static_cast<utf8proc_ssize_t>(word_.size()), options);
    word_.resize(static_cast<std::size_t>(size));
  }

  void append(std::size_t begin, std::size_t end) {
    begin_word();
    for (std::size_t i = begin; i < end; ++i) append_utf8(line_, static_cast<char32_t>(word_[i]));
  }

  void append_pairs() {
    const auto letter_after = [&](std::size_t at) {
      do ++at;
      while (at < word_.size() && is_mark(static_cast<char32_t>(word_[at])));
      return at;
    };
    std::size_t first = 0, second = letter_after(0);
    if (second == word_.size()) return append(first, second);
    while (second < word_.size()) {
      const std::size_t end = letter_after(second);
      append(first, end);
      first = second;
      second = end;
    }
  }

  std::string line_;
  std::vector<std::int32_t> word_;
  Kind kind_ = Kind::plain;
  bool composes_ = false;
};

}  // namespace detail

GRAFT_INLINE std::string word_line(std::string_view text) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  detail::WordLine out(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_alphanumeric(text[end])) ++end;
    const bool ascii = end == text.size() || static_cast<unsigned char>(text[end]) < 0x80;
    while (end < text.size() && (is_alphanumeric(text[end]) || static_cast<unsigned char>(text[end]) >= 0x80)) ++end;
    if (end == at) {
      ++at;
      continue;
    }
    ascii ? out.add_ascii(text.substr(at, end - at)) : out.add(text.substr(at, end - at));
    at = end;
  }
  return out.take();
}

}  // namespace graft
