#pragma once

#include <algorithm>
#include <charconv>
#include <utility>

#include "graft/rag/citations.hpp"

namespace graft {

namespace detail {

/// What stands at the front of a text: a mark, what may become one with more text, or neither.
struct MarkAtFront {
  enum class Kind { none, partial, whole } kind = Kind::none;
  std::size_t size = 0;
  std::vector<std::size_t> numbers;
};

/// A mark is "[", numbers of at most six digits with "," or ";" and blanks between, and "]".
GRAFT_INLINE MarkAtFront mark_at_front(std::string_view text) {
  constexpr std::size_t longest = 100;
  MarkAtFront out;
  if (text.empty() || text[0] != '[') return out;
  std::size_t at = 1;
  const auto blanks = [&] {
    while (at < text.size() && text[at] == ' ') ++at;
  };
  const auto partial = [&] {
    out.kind = at <= longest ? MarkAtFront::Kind::partial : MarkAtFront::Kind::none;
    return out;
  };
  while (at <= longest) {
    blanks();
    const std::size_t first = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    if (at - first > 6) return out;
    if (at == text.size()) return partial();
    if (at == first) return out;
    std::size_t number = 0;
    std::from_chars(text.data() + first, text.data() + at, number);
    out.numbers.push_back(number);
    blanks();
    if (at == text.size()) return partial();
    const char c = text[at++];
    if (c == ']') {
      out.kind = MarkAtFront::Kind::whole;
      out.size = at;
      return out;
    }
    if (c != ',' && c != ';') return out;
  }
  return out;
}

}  // namespace detail

GRAFT_INLINE std::string CitationReader::add(std::string_view text) {
  const std::size_t before = text_.size();
  pending_ += text;
  read(false);
  return text_.substr(before);
}

GRAFT_INLINE std::string CitationReader::finish() {
  const std::size_t before = text_.size();
  read(true);
  return text_.substr(before);
}

GRAFT_INLINE void CitationReader::read(bool last) {
  while (!pending_.empty()) {
    const std::size_t plain = std::min(pending_.find_first_of(code_ > 0 ? "`\n" : " [`"), pending_.size());
    give(plain);
    if (pending_.empty()) return;
    if (pending_[0] == '`') {
      if (!read_backticks(last)) return;
    } else if (code_ > 0) {
      if (code_ < 3) code_ = 0;  // at the end of the line
      give(1);
    } else {
      const std::size_t blanks = std::min(pending_.find_first_not_of(' '), pending_.size());
      if (blanks == pending_.size() && !last) return;
      if (blanks < pending_.size() && pending_[blanks] == '[') {
        if (!read_mark(blanks, last)) return;
      } else {
        give(blanks);
      }
    }
  }
}

/// False if more text has to come first.
GRAFT_INLINE bool CitationReader::read_mark(std::size_t blanks, bool last) {
  const detail::MarkAtFront mark = detail::mark_at_front(std::string_view(pending_).substr(blanks));
  if (mark.kind == detail::MarkAtFront::Kind::partial && !last) return false;
  if (mark.kind != detail::MarkAtFront::Kind::whole) {
    give(blanks + 1);
    return true;
  }
  std::vector<std::size_t> known;
  std::string written, rest;
  for (const std::size_t number : mark.numbers) {
    std::string& list = numbers_.contains(number) ? written : rest;
    list += (list.empty() ? "" : ", ") + std::to_string(number);
    if (numbers_.contains(number)) known.push_back(number);
  }
  if (known.size() == mark.numbers.size())
    written = pending_.substr(blanks, mark.size);
  else
    unknown_.push_back("[" + rest + "]"), written = "[" + written + "]";
  if (!known.empty()) {
    give(blanks);
    for (const std::size_t number : known) citations_.push_back({number, text_.size(), text_.size() + written.size()});
    text_ += written;
    pending_.erase(0, mark.size);
  } else {
    pending_.erase(0, blanks + mark.size);
  }
  return true;
}

GRAFT_INLINE bool CitationReader::read_backticks(bool last) {
  const std::size_t run = std::min(pending_.find_first_not_of('`'), pending_.size());
  if (run == pending_.size() && !last) return false;
  if (code_ == 0)
    code_ = run;
  else if (code_ == run)
    code_ = 0;
  give(run);
  return true;
}

GRAFT_INLINE void CitationReader::give(std::size_t bytes) {
  text_.append(pending_, 0, bytes);
  pending_.erase(0, bytes);
}

}  // namespace graft
