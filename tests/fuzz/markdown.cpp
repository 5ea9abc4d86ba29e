#include "graft/retrieval/detail/markdown.hpp"
#include "fuzz/fuzz.hpp"
#include "graft/core/utf8.hpp"
#include "graft/retrieval/chunker.hpp"
#include "graft/retrieval/detail/scripts.hpp"

namespace graft::fuzzing::markdown {

namespace {

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (c & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

/// Whether `text` is one character and the marks on it.
bool is_one_character(std::string_view text) {
  for (std::size_t at = decode_utf8(text, 0).length; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    if (!detail::is_mark(step.code_point)) return false;
    at += step.length;
  }
  return true;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\n\r\v\f") == text.npos; }

void check_outline(std::string_view text) {
  const detail::MarkdownOutline outline = detail::markdown_outline(text);
  std::size_t at = outline.front_matter;
  check(at <= text.size(), "front matter goes on behind the text");
  for (const detail::MarkdownHeading& heading : outline.headings) {
    check(at <= heading.begin && heading.begin < heading.end && heading.end <= text.size(), "headings overlap");
    check(heading.level >= 1 && heading.level <= 6, "a heading has no level");
    at = heading.end;
  }
  at = outline.front_matter;
  for (const detail::MarkdownLines& lines : outline.lines) {
    check(at <= lines.begin && lines.begin <= lines.end && lines.end <= text.size(), "code or tables overlap");
    at = lines.end;
  }
}

}  // namespace

/// A byte for the size of passages, one for the overlap, a text: its passages lie in it as Chunker promises.
void fuzz(std::string_view input) {
  const std::size_t size = 1 + cut_byte(input) % 64;
  const unsigned choice = cut_byte(input);
  const bool markdown = choice % 4 != 0;
  const Chunker chunker(characters, "characters",
                        {.size = size, .overlap = choice / 4 % (size / 2 + 1), .markdown = markdown});
  const std::vector<PassageRange> passages = chunker.cut(input);
  if (markdown) check_outline(input);
  std::size_t begin = 0, end = 0;
  for (const PassageRange& passage : passages) {
    check(passage.begin < passage.end && passage.end <= input.size(), "a passage lies outside the text");
    check(begin <= passage.begin && end < passage.end, "passages are out of order");
    const std::string_view text = input.substr(passage.begin, passage.end - passage.begin);
    check(find_invalid_utf8(text) == text.npos, "a passage is cut within a character");
    check(!is_blank(text.substr(0, 1)) && !is_blank(text.substr(text.size() - 1)), "white space ends a passage");
    check(characters(searchable(passage.heading, text)) <= size || is_one_character(text), "a passage is too long");
    if (passage.begin > end) check(is_blank(input.substr(end, passage.begin - end)), "text lies in no passage");
    begin = passage.begin;
    end = passage.end;
  }
  check(is_blank(input.substr(end)), "the end of the text lies in no passage");
}

}  // namespace graft::fuzzing::markdown
