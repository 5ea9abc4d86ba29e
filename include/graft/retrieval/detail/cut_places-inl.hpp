#pragma once

#include "graft/core/utf8.hpp"
#include "graft/retrieval/detail/cut_places.hpp"
#include "graft/retrieval/detail/scripts.hpp"
#include "graft/retrieval/detail/sentences.hpp"

namespace graft::detail {

/// A letter of Thai, Lao, Burmese, Khmer and their kin, in which a blank stands between sentences.
inline bool has_blanks_between_sentences(char32_t c) {
  constexpr char32_t kEndOfThese = 0x2000;
  return c < kEndOfThese && has_no_blanks(c) && !is_jamo(c);
}

/// Finds the places of one part of a text.
class CutPlaces {
 public:
  CutPlaces(std::string_view text, std::size_t begin, std::size_t end)
      : text_(text.substr(0, end)), begin_(begin), at_(begin) {}

  std::vector<CutPlace> find() {
    while (at_ < text_.size()) {
      std::size_t at = at_;
      while (at < text_.size() && !(byte_class(text_[at]) & (kBlank | kBeyondAscii))) ++at;
      at_ = at;
      if (at < text_.size() && byte_class(text_[at]) == kBeyondAscii)
        pass_character();
      else
        pass_space();
    }
    if (at_ > begin_ && (places_.empty() || places_.back().at != at_)) place(CutRank::paragraph);
    return std::move(places_);
  }

 private:
  char32_t peek() const { return at_ < text_.size() ? decode_utf8(text_, at_).code_point : 0; }

  void pass_character() {
    const Utf8Step step = decode_utf8(text_, at_);
    const std::size_t begin = at_;
    at_ += step.length;
    if (is_sentence_end(step.code_point)) return end_sentence();
    constexpr char32_t kIdeographicSpace = 0x3000, kIdeographicComma = 0x3001, kFullWidthComma = 0xFF0C;
    const bool letter = has_no_blanks(step.code_point);
    if (letter && begin > begin_ && is_word_of_ascii(text_[begin - 1])) places_.emplace_back(begin, CutRank::word);
    if (!letter && step.code_point != kIdeographicSpace && step.code_point != kIdeographicComma &&
        step.code_point != kFullWidthComma)
      return;
    if (const char32_t next = peek(); begins_word(next)) place(CutRank::word);
  }

  static bool begins_word(char32_t c) {
    return c < 0x80 ? is_word_of_ascii(static_cast<char>(c)) : has_no_blanks(c) && !is_mark(c) && !is_sentence_end(c);
  }

  static bool is_word_of_ascii(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  }

  /// After its last sign: other signs and what closes may follow. Within a number it is no end.
  void end_sentence() {
    if (const char32_t next = peek(); next >= 0xFF10 && next <= 0xFF19) return;
    while (at_ < text_.size() && !is_space(text_[at_])) {
      const Utf8Step step = decode_utf8(text_, at_);
      if (!is_sentence_end(step.code_point) && !is_closing(step.code_point)) break;
      at_ += step.length;
    }
    if (at_ < text_.size() && !is_space(text_[at_])) place(CutRank::sentence);
  }

  void pass_space() {
    const std::string_view before = text_.substr(begin_, at_ - begin_);
    std::size_t lines = 0;
    while (at_ < text_.size() && is_space(text_[at_])) lines += text_[at_++] == '\n';
    if (at_ == text_.size() || lines > 1) return place(CutRank::paragraph);
    place(ends_sentence(before, kEndsSentence | kEndsClause) || is_between_sentences(before) ? CutRank::sentence
                                                                                             : CutRank::word);
  }

  bool is_between_sentences(std::string_view before) const {
    if (before.empty() || static_cast<unsigned char>(before.back()) < 0x80) return false;
    std::size_t end = before.size();
    return has_blanks_between_sentences(character_before(before, end)) && has_blanks_between_sentences(peek());
  }

  void place(CutRank rank) { places_.emplace_back(at_, rank); }

  std::string_view text_;
  std::size_t begin_, at_;
  std::vector<CutPlace> places_;
};

GRAFT_INLINE std::vector<CutPlace> cut_places(std::string_view text, std::size_t begin, std::size_t end) {
  return CutPlaces(text, begin, end).find();
}

}  // namespace graft::detail
