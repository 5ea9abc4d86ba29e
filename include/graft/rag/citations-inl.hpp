#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "graft/rag/citations.hpp"
#include "graft/rag/detail/answer_lines.hpp"
#include "graft/rag/detail/citation_mark.hpp"
#include "graft/rag/detail/citation_place.hpp"

namespace graft {

class CitationReader::Reading {
 public:
  explicit Reading(std::set<std::size_t> numbers) : numbers_(std::move(numbers)) {}

  std::string add(std::string_view text);
  std::string finish();

  std::string text_;
  std::vector<Citation> citations_;
  std::vector<std::string> unknown_;

 private:
  using Place = detail::MarkPlace;

  /// A mark that stands in text_ as it was written.
  struct Mark {
    std::size_t front, begin, end;  // bytes of text_: with blanks before, of the mark
    std::vector<std::size_t> known;
    std::string kept;     // instead of it
    std::string unknown;  // what of it names no source; empty: all of it does
    Place place;
  };

  /// Backticks, or a mark behind some.
  struct Inline {
    std::size_t run;  // length; 0: a mark
    Mark mark;
  };

  void read(bool last);
  bool read_line(bool last);
  bool read_mark(std::size_t blanks, bool last);
  void read_backticks(std::size_t run);
  void settle(Mark mark);
  void end_paragraph();
  void choose_glued();
  void give(std::size_t bytes);
  std::string settled();

  std::set<std::size_t> numbers_;
  std::string pending_;  // not read yet, from at_ on
  std::size_t at_ = 0;
  detail::AnswerLines lines_;
  bool at_line_ = true;              // a line begins
  bool is_code_ = false;             // the line is code
  bool at_front_ = false;            // nothing of the line's text was read
  char math_ = 0;                    // ends the formula we are in: ")", "]" or "$"
  std::vector<Inline> inlines_;      // since backticks that no others have closed
  std::optional<std::size_t> held_;  // where text_ is not settled
  std::size_t given_ = 0;            // of text_
  std::size_t mark_end_ = 0;         // in text_, of the last mark
  Place mark_place_ = Place::alone;
  std::set<std::string> variables_;  // words with an index that names no source
  std::vector<Mark> marks_;
};

GRAFT_INLINE std::string CitationReader::Reading::add(std::string_view text) {
  pending_ += text;
  read(false);
  return settled();
}

GRAFT_INLINE std::string CitationReader::Reading::finish() {
  read(true);
  end_paragraph();
  choose_glued();
  for (const Mark& mark : marks_)
    for (const std::size_t number : mark.known) citations_.push_back({number, mark.begin, mark.end});
  return settled();
}

GRAFT_INLINE std::string CitationReader::Reading::settled() {
  const std::size_t end = held_.value_or(text_.size());
  std::string out = text_.substr(given_, end - given_);
  given_ = end;
  return out;
}

GRAFT_INLINE void CitationReader::Reading::read(bool last) {
  while (at_ < pending_.size()) {
    if (at_line_) {
      const auto line = lines_.begin(std::string_view(pending_).substr(at_), last);
      if (!line) break;
      if (!line->continues) {
        end_paragraph();
        math_ = 0;
      }
      give(line->front);
      is_code_ = line->kind == detail::AnswerLines::Line::Kind::code;
      at_line_ = false;
      at_front_ = true;
    }
    if (!read_line(last)) break;
  }
  pending_.erase(0, at_);
  at_ = 0;
}

/// Up to the end of the line, if it is there. False if more text has to come first.
GRAFT_INLINE bool CitationReader::Reading::read_line(bool last) {
  // The bytes with which the brackets begin that are not of ASCII are among them.
  constexpr std::string_view special = "\n\\`$ [(\xE3\xEF";
  constexpr std::size_t most_held = 100;
  // A longer run is text, though it may have come in parts.
  const auto is_long = [&](std::size_t run) {
    const std::string_view before =
        std::string_view(text_).substr(text_.size() - std::min(text_.size(), most_held + 1));
    return run > most_held || (before.size() > most_held && before.find_first_not_of(pending_[at_]) == before.npos);
  };
  while (at_ < pending_.size()) {
    const std::size_t next = is_code_ ? pending_.find('\n', at_) : pending_.find_first_of(special, at_);
    give(std::min(next, pending_.size()) - at_);
    if (at_ == pending_.size()) return true;
    const char c = pending_[at_];
    if (c == '\n') {
      give(1);
      return at_line_ = true;
    }
    if (c == '\\') {
      if (at_ + 1 == pending_.size() && !last) return false;
      const char escaped = at_ + 1 < pending_.size() ? pending_[at_ + 1] : '\n';
      const bool is_escape = inlines_.empty() && escaped != '\n';
      if (is_escape && math_ == 0 && (escaped == '(' || escaped == '['))
        math_ = escaped == '(' ? ')' : ']';
      else if (is_escape && math_ == escaped)
        math_ = 0;
      give(is_escape ? 2 : 1);
    } else if (c == '$') {
      if (at_ + 1 == pending_.size() && !last) return false;
      const bool is_double = inlines_.empty() && at_ + 1 < pending_.size() && pending_[at_ + 1] == '$';
      if (is_double && (math_ == 0 || math_ == '$')) math_ = math_ == 0 ? '$' : 0;
      give(is_double ? 2 : 1);
    } else if (c == '`') {
      const std::size_t run = std::min(pending_.find_first_not_of('`', at_), pending_.size()) - at_;
      if (at_ + run == pending_.size() && !last && run <= most_held) return false;
      if (is_long(run))
        give(run);
      else
        read_backticks(run);
    } else {
      const std::size_t blanks = std::min(pending_.find_first_not_of(' ', at_), pending_.size()) - at_;
      const bool is_end = at_ + blanks == pending_.size();
      if (is_end && !last && blanks <= most_held) return false;
      if (math_ != 0)
        give(std::max<std::size_t>(blanks, 1));
      else if (is_end || (blanks > 0 && is_long(blanks)) ||
               special.substr(5).find(pending_[at_ + blanks]) == std::string_view::npos)
        give(blanks);
      else if (!read_mark(blanks, last))
        return false;
    }
  }
  return true;
}

/// False if more text has to come first.
GRAFT_INLINE bool CitationReader::Reading::read_mark(std::size_t blanks, bool last) {
  using Kind = detail::CitationMark::Kind;
  const std::string_view rest = std::string_view(pending_).substr(at_ + blanks);
  const detail::CitationMark found = detail::CitationMarkReader(rest).read();
  if (found.kind == Kind::partial && !last) return false;
  if (found.kind != Kind::whole) {
    give(blanks + 1);
    return true;
  }
  if (rest.size() == found.size && !last) return false;
  const char after = rest.size() > found.size ? rest[found.size] : ' ';
  const bool is_bracket = found.open[0] == '[';
  const bool is_link = is_bracket && after == '(';
  const bool is_definition = is_bracket && after == ':' && at_front_;
  std::optional<Place> place = detail::place_of_mark(text_, found.is_plain, blanks > 0);
  if (blanks == 0 && mark_end_ > 0 && (mark_end_ == text_.size() || detail::joins_marks(text_, mark_end_)))
    place = mark_place_;

  const detail::WeighedMark weighed = detail::weigh(found, numbers_);
  const bool is_foreign = !weighed.is_mark || !weighed.gone.empty();
  if (place == Place::glued && is_foreign) variables_.emplace(detail::last_word(text_));
  // Only what stands alone is taken out.
  const bool may_go = found.open != "(" && place == Place::alone && !(found.is_plain && detail::is_name_byte(after));
  const bool is_mark = weighed.is_mark && place && (weighed.gone.empty() || may_go);
  if (!is_mark || is_link || is_definition) {
    give(blanks + found.size);
    return true;
  }
  const std::size_t front = text_.size(), begin = front + blanks;
  Mark mark{front, begin, begin + found.size, weighed.known, {}, {}, *place};
  if (!weighed.gone.empty()) mark.unknown = found.open + weighed.gone + found.close;
  if (!weighed.gone.empty() && !weighed.kept.empty())
    mark.kept = pending_.substr(at_, blanks) + found.open + weighed.kept + found.close;
  const bool is_held = !inlines_.empty();
  if (is_held && !mark.unknown.empty() && !held_) held_ = mark.front;
  give(blanks + found.size);
  mark_end_ = text_.size();
  mark_place_ = mark.place;
  if (is_held)
    inlines_.push_back({0, std::move(mark)});
  else
    settle(std::move(mark));
  return true;
}

/// Takes what is at the end of text_ for a mark.
GRAFT_INLINE void CitationReader::Reading::settle(Mark mark) {
  if (!mark.unknown.empty()) {
    unknown_.push_back(mark.unknown);
    text_.replace(mark.front, mark.end - mark.front, mark.kept);
    mark.begin = text_.size() - mark.kept.size() + std::min(mark.begin - mark.front, mark.kept.size());
    mark.end = text_.size();
    mark_end_ = mark.kept.empty() ? 0 : mark.end;
  }
  if (!mark.known.empty()) marks_.push_back(std::move(mark));
}

GRAFT_INLINE void CitationReader::Reading::read_backticks(std::size_t run) {
  give(run);
  if (inlines_.empty() || inlines_[0].run != run) {
    inlines_.push_back({run, {}});
  } else {
    inlines_.clear();  // what lies between is code
    held_.reset();
  }
}

/// Backticks that none have closed are text: marks behind them count, but for those in code that began later.
GRAFT_INLINE void CitationReader::Reading::end_paragraph() {
  if (inlines_.empty()) return;
  std::map<std::size_t, std::size_t> last;  // of each length
  for (std::size_t i = 0; i < inlines_.size(); ++i) last[inlines_[i].run] = i;
  std::vector<Mark> marks;
  for (std::size_t i = 0; i < inlines_.size(); ++i) {
    const std::size_t run = inlines_[i].run;
    if (run == 0)
      marks.push_back(std::move(inlines_[i].mark));
    else if (last[run] > i)
      while (inlines_[++i].run != run) {
      }
  }
  inlines_.clear();
  held_.reset();
  if (marks.empty()) return;
  const std::size_t begin = marks[0].front;
  const std::string written = text_.substr(begin);
  std::size_t at = begin;
  text_.resize(begin);
  for (Mark& mark : marks) {
    text_.append(written, at - begin, mark.front - at);
    at = mark.end;
    const std::size_t front = text_.size(), blanks = mark.begin - mark.front, size = mark.end - mark.front;
    text_.append(written, mark.front - begin, size);
    mark.front = front;
    mark.begin = front + blanks;
    mark.end = front + size;
    settle(std::move(mark));
  }
  text_.append(written, at - begin);
  mark_end_ = 0;
}

/// A writer of marks writes them one way. Beside marks that stand alone those behind words are indexes, and so are
/// those that end no clause, or follow what is no word of a sentence or had an index that names no source.
GRAFT_INLINE void CitationReader::Reading::choose_glued() {
  const auto is_glued = [](const Mark& mark) { return mark.place == Place::glued; };
  const bool are_alone =
      std::any_of(marks_.begin(), marks_.end(), [](const Mark& mark) { return mark.place == Place::alone; });
  const std::string_view text(text_);
  bool counts = false;
  std::size_t end = 0;  // of the last mark
  for (std::size_t i = 0; i < marks_.size(); ++i) {
    if (!is_glued(marks_[i])) continue;
    if (marks_[i].begin != end || end == 0) {
      std::size_t behind = marks_[i].end;
      for (std::size_t j = i + 1; j < marks_.size() && marks_[j].begin == behind; ++j) behind = marks_[j].end;
      const std::string_view before = text.substr(0, marks_[i].begin);
      counts = !are_alone && detail::ends_with_plain_word(before) &&
               detail::begins_behind_clause(text.substr(behind)) &&
               !variables_.contains(std::string(detail::last_word(before)));
    }
    end = marks_[i].end;
    if (!counts) marks_[i].known.clear();
  }
}

GRAFT_INLINE void CitationReader::Reading::give(std::size_t bytes) {
  if (bytes > 0) at_front_ = false;
  text_.append(pending_, at_, bytes);
  at_ += bytes;
}

GRAFT_INLINE CitationReader::CitationReader(std::set<std::size_t> numbers)
    : reading_(std::make_unique<Reading>(std::move(numbers))) {}
GRAFT_INLINE CitationReader::~CitationReader() = default;

GRAFT_INLINE std::string CitationReader::add(std::string_view text) { return reading_->add(text); }
GRAFT_INLINE std::string CitationReader::finish() { return reading_->finish(); }
GRAFT_INLINE const std::string& CitationReader::text() const { return reading_->text_; }
GRAFT_INLINE const std::vector<Citation>& CitationReader::citations() const { return reading_->citations_; }
GRAFT_INLINE const std::vector<std::string>& CitationReader::unknown() const { return reading_->unknown_; }

}  // namespace graft
