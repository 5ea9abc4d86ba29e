#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace graft::detail {

/// Tells lines of text from lines of code while a Markdown text is written: fences, indented code, and both within
/// lists and quotations. Source: CommonMark 0.31, sections 4 and 5; HTML blocks are text here.
class AnswerLines {
 public:
  struct Line {
    enum class Kind { blank, code, text } kind;
    std::size_t front = 0;   ///< bytes of indentation, and of marks of lists and quotations
    bool continues = false;  ///< the paragraph of the line before
  };

  /// What line begins with `rest`, which begins behind a line end or at the start of the text. Nothing while more of it
  /// has to come; `last`: nothing will. To be asked until it answers, once for each line.
  std::optional<Line> begin(std::string_view rest, bool last) {
    const bool all = last || rest.size() >= kLookahead;
    rest = rest.substr(0, kLookahead);
    at_ = column_ = origin_ = 0;
    std::size_t depth = 0;  // of quotations
    for (blanks(rest); is_quotation(rest, depth); blanks(rest)) {
      ++at_;
      ++depth;
      origin_ += column_ + 1;
      column_ = 0;
      if (at_ == rest.size() || (rest[at_] != ' ' && rest[at_] != '\t')) continue;
      column_ = rest[at_++] == ' ' ? 0 : 3 - origin_ % 4;
      ++origin_;
    }
    if (at_ == rest.size() && !all) return std::nullopt;
    if (fence_ && (depth < fence_depth_ || (column_ < fence_list_ && !is_end(rest)))) {
      fence_ = 0;  // its quotation or list ends
      return begin(rest, all);
    }
    if (is_end(rest)) {
      in_paragraph_ = false;
      if (item_is_empty_) lists_.pop_back();  // an item begins with one blank line at most
      item_is_empty_ = false;
      return Line{fence_ ? Line::Kind::code : Line::Kind::blank, at_};
    }
    return fence_ ? in_fence(rest, all) : text(rest, depth, all);
  }

 private:
  static constexpr std::size_t kLookahead = 300;

  void blanks(std::string_view rest) {
    for (; at_ < rest.size() && (rest[at_] == ' ' || rest[at_] == '\t'); ++at_)
      column_ += rest[at_] == ' ' ? 1 : 4 - (origin_ + column_) % 4;
  }

  bool is_end(std::string_view rest) const { return at_ == rest.size() || rest[at_] == '\n' || rest[at_] == '\r'; }

  bool is_quotation(std::string_view rest, std::size_t depth) const {
    if (at_ == rest.size() || rest[at_] != '>') return false;
    return fence_ ? depth < fence_depth_ : column_ < 4 + (depth == 0 && !lists_.empty() ? lists_.back() : 0);
  }

  std::optional<Line> in_fence(std::string_view rest, bool all) {
    const std::size_t run = run_of(rest, fence_);
    const std::size_t end = std::min(rest.find_first_not_of(" \t", at_ + run), rest.size());
    const bool may_close = column_ - fence_list_ < 4 && run >= fence_length_;
    if (end == rest.size() && !all && (may_close || at_ + run == rest.size())) return std::nullopt;
    if (may_close && (end == rest.size() || rest[end] == '\n' || rest[end] == '\r')) fence_ = 0;
    return Line{Line::Kind::code, at_};
  }

  std::optional<Line> text(std::string_view rest, std::size_t depth, bool all) {
    bool continues = in_paragraph_ && depth <= depth_;
    // Kept only once the line is known.
    std::vector<std::size_t> lists = lists_;
    std::size_t paragraph_depth = depth_;
    const auto list = [&] { return lists.empty() ? 0 : lists.back(); };
    const auto begin_block = [&] {
      continues = false;
      if (depth != paragraph_depth) lists.clear();
      paragraph_depth = depth;
      while (list() > column_) lists.pop_back();
    };
    const auto done = [&](Line::Kind kind, bool in_paragraph) {
      lists_ = std::move(lists);
      depth_ = paragraph_depth;
      in_paragraph_ = in_paragraph;
      item_is_empty_ = false;
      return Line{kind, at_, continues};
    };
    while (true) {
      if (!continues) begin_block();
      const bool is_indented = column_ >= list() + 4;
      if (is_indented && !continues) return done(Line::Kind::code, false);
      if (is_indented || is_end(rest)) return done(Line::Kind::text, !is_end(rest));
      const bool is_lazy = depth < paragraph_depth || column_ < list();
      const char c = rest[at_];
      if (c == '`' || c == '~') {
        const std::size_t run = run_of(rest, c);
        const std::size_t stop = std::min(rest.find_first_of(c == '`' ? "`\n" : "\n", at_ + run), rest.size());
        if (stop == rest.size() && !all && (run >= 3 || at_ + run == rest.size())) return std::nullopt;
        if (run < 3 || (stop < rest.size() && rest[stop] != '\n')) return done(Line::Kind::text, true);
        begin_block();
        fence_ = c;
        fence_length_ = run;
        fence_depth_ = depth;
        fence_list_ = list();
        return done(Line::Kind::code, false);
      }
      const std::optional<Rule> rule = this->rule(rest, continues && !is_lazy, all);
      if (!rule) return std::nullopt;
      if (*rule == Rule::line) begin_block();
      if (*rule != Rule::none) return done(Line::Kind::text, false);
      const std::size_t marker = list_marker(rest);
      if (at_ + marker == rest.size() && !all) return std::nullopt;
      const bool is_item = marker > 0 && (at_ + marker == rest.size() || is_blank(rest[at_ + marker]));
      if (c == '#' && at_ + run_of(rest, c) == rest.size() && !all) return std::nullopt;
      if (c == '#' && is_heading(rest)) {
        begin_block();
        return done(Line::Kind::text, false);
      }
      if (!is_item) return done(Line::Kind::text, true);
      // In the middle of a paragraph only some are items.
      const bool may_interrupt = is_lazy || c < '0' || c > '9' || (c == '1' && marker == 2);
      const std::size_t first = std::min(rest.find_first_not_of(" \t", at_ + marker), rest.size());
      if (first == rest.size() && !all) return std::nullopt;
      const bool is_empty = first == rest.size() || rest[first] == '\n' || rest[first] == '\r';
      if (continues && (!may_interrupt || (is_empty && !is_lazy))) return done(Line::Kind::text, true);
      begin_block();
      at_ += marker;
      column_ += marker;
      const std::size_t column = column_;
      blanks(rest);
      lists.push_back(column_ - column < 5 && !is_empty ? column_ : column + 1);
      if (!is_empty) continue;
      const Line line = done(Line::Kind::text, false);
      item_is_empty_ = true;
      return line;
    }
  }

  enum class Rule { none, underline, line };

  /// Whether a line is the underline of a heading, which a paragraph may have, or a rule across the page.
  std::optional<Rule> rule(std::string_view rest, bool in_paragraph, bool all) const {
    const char c = rest[at_];
    if (std::string_view("=-*_").find(c) == std::string_view::npos) return Rule::none;
    const std::size_t end = std::min(rest.find_first_not_of(std::string{c, ' ', '\t', '\r'}, at_), rest.size());
    if (end == rest.size() && !all) return std::nullopt;
    if (end < rest.size() && rest[end] != '\n') return Rule::none;
    const std::string_view line = rest.substr(at_, end - at_);
    if (in_paragraph && (c == '=' || c == '-') && line.find_last_of(c) == run_of(rest, c) - 1) return Rule::underline;
    return c != '=' && std::count(line.begin(), line.end(), c) >= 3 ? Rule::line : Rule::none;
  }

  std::size_t run_of(std::string_view rest, char c) const {
    return std::min(rest.find_first_not_of(c, at_), rest.size()) - at_;
  }

  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  /// Bytes of what may be the mark of a list's item; the blank behind it decides.
  std::size_t list_marker(std::string_view rest) const {
    if (std::string_view("-+*").find(rest[at_]) != std::string_view::npos) return 1;
    std::size_t end = at_;
    while (end < rest.size() && end - at_ < 9 && rest[end] >= '0' && rest[end] <= '9') ++end;
    if (end == at_) return 0;
    return end < rest.size() && (rest[end] == '.' || rest[end] == ')') ? end + 1 - at_
           : end == rest.size()                                        ? end - at_
                                                                       : 0;
  }

  bool is_heading(std::string_view rest) const {
    const std::size_t run = run_of(rest, '#');
    return run >= 1 && run <= 6 && (at_ + run == rest.size() || is_blank(rest[at_ + run]));
  }

  std::size_t at_ = 0, column_ = 0;  // of the line that begins
  std::size_t origin_ = 0;           // where column 0 lies: behind marks of quotations
  bool in_paragraph_ = false;        // a line of text may go on
  bool item_is_empty_ = false;       // so far
  std::size_t depth_ = 0;            // of the quotations around it
  std::vector<std::size_t> lists_;   // columns of the text of the items around it
  char fence_ = 0;                   // of the code we are in
  std::size_t fence_length_ = 0, fence_depth_ = 0, fence_list_ = 0;
};

}  // namespace graft::detail
