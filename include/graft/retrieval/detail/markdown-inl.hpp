#pragma once

#include <cmark.h>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/retrieval/detail/markdown.hpp"

namespace graft::detail {

struct FreeCmark {
  void operator()(cmark_node* node) const { cmark_node_free(node); }
  void operator()(cmark_iter* iterator) const { cmark_iter_free(iterator); }
};

/// Where the lines of a text begin, as CommonMark has lines: they end with LF, CR or both.
class LineStarts {
 public:
  explicit LineStarts(std::string_view text) : text_(text) {}

  /// Of line n, from 1; asked for in growing order.
  std::size_t begin_of(std::size_t line) {
    for (; line_ < line && at_ < text_.size(); ++line_) at_ = end_of(at_);
    return at_;
  }

  /// Behind the line that begins at `begin`.
  std::size_t end_of(std::size_t begin) const {
    const std::size_t end = text_.find_first_of("\r\n", begin);
    if (end == std::string_view::npos) return text_.size();
    return end + (text_.substr(end, 2) == "\r\n" ? 2 : 1);
  }

 private:
  std::string_view text_;
  std::size_t line_ = 1, at_ = 0;
};

inline std::string_view without_blanks(std::string_view line) {
  while (!line.empty() && std::string_view(" \t\r\n").find(line.front()) != std::string_view::npos)
    line.remove_prefix(1);
  while (!line.empty() && std::string_view(" \t\r\n").find(line.back()) != std::string_view::npos)
    line.remove_suffix(1);
  return line;
}

/// Bytes of YAML or TOML at the start: from a line of --- (+++), with text below it, to the next (or to a line of ...).
GRAFT_INLINE std::size_t front_matter(std::string_view text) {
  const LineStarts lines(text);
  std::size_t at = lines.end_of(0);
  const std::string_view fence = text.substr(0, 3);
  if ((fence != "---" && fence != "+++") || without_blanks(text.substr(0, at)).size() != 3) return 0;
  if (without_blanks(text.substr(at, lines.end_of(at) - at)).empty()) return 0;
  while (at < text.size()) {
    const std::size_t end = lines.end_of(at);
    const std::string_view line = without_blanks(text.substr(at, end - at));
    at = end;
    if (line == fence || (fence == "---" && line == "...")) return at;
  }
  return 0;
}

/// Stands for the ! of an image while cmark reads the text: before 0.30.3 it takes time that grows with the square of
/// the images' number. It has no meaning of its own and no text holds it.
inline constexpr char kImageMark = '\x01';

GRAFT_INLINE std::string without_images(std::string_view text) {
  std::string out(text);
  for (std::size_t at = out.find("!["); at != std::string::npos; at = out.find("![", at + 2)) {
    std::size_t line = at > 0 ? at - 1 : 0;  // <![CDATA[ begins a block where no more than three blanks are before it
    if (at > 0 && out[line] == '<')
      while (line > 0 && at - line < 4 && out[line - 1] == ' ') --line;
    const bool block = at > 0 && out[at - 1] == '<' && (line == 0 || out[line - 1] == '\n' || out[line - 1] == '\r');
    if (!block) out[at] = kImageMark;
  }
  return out;
}

/// The text of a heading, without its marks.
GRAFT_INLINE std::string heading_title(cmark_node* heading) {
  std::string out;
  const std::unique_ptr<cmark_iter, FreeCmark> iterator(cmark_iter_new(heading));
  while (cmark_iter_next(iterator.get()) != CMARK_EVENT_DONE) {
    cmark_node* node = cmark_iter_get_node(iterator.get());
    const cmark_node_type type = cmark_node_get_type(node);
    if (type == CMARK_NODE_TEXT || type == CMARK_NODE_CODE) out += cmark_node_get_literal(node);
    if (type == CMARK_NODE_SOFTBREAK || type == CMARK_NODE_LINEBREAK) out += ' ';
  }
  for (std::size_t at = out.find("\x01["); at != std::string::npos; at = out.find("\x01[", at)) out[at] = '!';
  std::erase(out, kImageMark);  // of images, which are links here
  return std::string(without_blanks(out));
}

/// Behind the lines of a heading that begins at `begin`: behind its underline, if one is there before `end`. cmark 0.30
/// says of an underlined heading that it ends one line later.
GRAFT_INLINE std::size_t heading_end(std::string_view text, const LineStarts& lines, std::size_t begin,
                                     std::size_t end) {
  for (std::size_t at = lines.end_of(begin); at < end; at = lines.end_of(at)) {
    std::string_view line = without_blanks(text.substr(at, lines.end_of(at) - at));
    while (!line.empty() && (line.front() == '>' || line.front() == ' ')) line.remove_prefix(1);
    const bool underline = line.find_first_not_of('=') == line.npos || line.find_first_not_of('-') == line.npos;
    if (underline && !line.empty()) return lines.end_of(at);
  }
  return lines.end_of(begin);
}

/// Whether cmark counts a line to a block of code that is neither its opening fence nor its text.
GRAFT_INLINE bool has_line_behind_code(cmark_node* code) {
  const std::string_view text = cmark_node_get_literal(code);
  return cmark_node_get_end_line(code) - cmark_node_get_start_line(code) > std::count(text.begin(), text.end(), '\n');
}

/// Whether the line [begin, end) may close a block of code.
GRAFT_INLINE bool is_fence(std::string_view text, std::size_t begin, std::size_t end) {
  std::string_view line = without_blanks(text.substr(begin, end - begin));
  while (!line.empty() && std::string_view("> \t").find(line.front()) != line.npos) line.remove_prefix(1);
  return line.size() >= 3 && line.find_first_not_of(line.front()) == line.npos && (line[0] == '`' || line[0] == '~');
}

/// Whether a line divides the head of a table from its body: | --- | :-: |
GRAFT_INLINE bool is_delimiter_row(std::string_view line) {
  line = without_blanks(line);
  bool dash = false, bar = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '-')
      dash = true;
    else if (c == '|')
      bar = true;
    else if (c != ':' && c != ' ' && c != '\t')
      return false;
  }
  return dash && bar;
}

/// The rows of a paragraph that is a table; nothing else is added.
GRAFT_INLINE void add_table(std::string_view text, const LineStarts& lines, std::size_t begin, std::size_t end,
                            std::vector<MarkdownLines>& out) {
  for (std::size_t before = begin, at = lines.end_of(begin); at < end; before = at, at = lines.end_of(at))
    if (is_delimiter_row(text.substr(at, lines.end_of(at) - at)) &&
        text.substr(before, at - before).find('|') != std::string_view::npos)
      return out.push_back({before, end, true});
}

GRAFT_INLINE MarkdownOutline markdown_outline(std::string_view text) {
  constexpr std::size_t kMost = 16 << 20;
  if (text.size() > kMost)
    throw OptionError(message("a Markdown text has ", text.size(), " bytes; up to ", kMost,
                              " are read: split it, or cut it as plain text"));
  MarkdownOutline out;
  out.front_matter = front_matter(text);
  const std::string body = without_images(text.substr(out.front_matter));
  const std::unique_ptr<cmark_node, FreeCmark> document(
      cmark_parse_document(body.data(), body.size(), CMARK_OPT_DEFAULT));
  const std::unique_ptr<cmark_iter, FreeCmark> iterator(document ? cmark_iter_new(document.get()) : nullptr);
  if (!iterator) throw std::bad_alloc();
  LineStarts lines(body);
  for (cmark_event_type event; (event = cmark_iter_next(iterator.get())) != CMARK_EVENT_DONE;) {
    cmark_node* node = cmark_iter_get_node(iterator.get());
    const cmark_node_type type = cmark_node_get_type(node);
    const bool block = type == CMARK_NODE_HEADING || type == CMARK_NODE_PARAGRAPH || type == CMARK_NODE_CODE_BLOCK;
    if (event != CMARK_EVENT_ENTER) continue;
    const std::size_t begin = lines.begin_of(static_cast<std::size_t>(cmark_node_get_start_line(node)));
    // cmark 0.30 gives code one line more where no fence ends it but the end of its list or quotation.
    if (!out.lines.empty() && out.lines.back().begin < begin)
      out.lines.back().end = std::min(out.lines.back().end, begin);
    if (!block) continue;
    std::size_t end = begin, last = begin;
    for (int line = cmark_node_get_start_line(node); line <= cmark_node_get_end_line(node); ++line)
      last = std::exchange(end, lines.end_of(end));
    if (type == CMARK_NODE_HEADING)
      out.headings.push_back({begin, heading_end(body, lines, begin, end),
                              static_cast<std::size_t>(cmark_node_get_heading_level(node)), heading_title(node)});
    else if (type == CMARK_NODE_CODE_BLOCK)
      out.lines.push_back({begin, has_line_behind_code(node) && !is_fence(body, last, end) ? last : end, false});
    else
      add_table(body, lines, begin, end, out.lines);
    cmark_iter_reset(iterator.get(), node, CMARK_EVENT_EXIT);  // what is in a line is not looked at
  }
  for (MarkdownHeading& heading : out.headings) heading.begin += out.front_matter, heading.end += out.front_matter;
  for (MarkdownLines& part : out.lines) part.begin += out.front_matter, part.end += out.front_matter;
  return out;
}

}  // namespace graft::detail
