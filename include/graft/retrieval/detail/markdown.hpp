#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"

namespace graft::detail {

/// A heading of CommonMark, in whatever it stands: the bytes [begin, end) are its lines.
struct MarkdownHeading {
  std::size_t begin, end;
  std::size_t level;  // 1 to 6
  std::string title;  // as it is read, without marks
};

/// Lines that are cut between, not within.
struct MarkdownLines {
  std::size_t begin, end;
  bool rows;  // of a table: cut within only where one is too long by itself; otherwise code
};

struct MarkdownOutline {
  std::size_t front_matter = 0;  // bytes of metadata before the text, between lines of --- or +++
  std::vector<MarkdownHeading> headings;
  std::vector<MarkdownLines> lines;
};

/// What cmark finds in `text`, and tables as GitHub writes them: a row of cells above one of dashes.
/// Throws OptionError for more than 16 MiB, of which cmark may need two hundred times as much.
MarkdownOutline markdown_outline(std::string_view text);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/retrieval/detail/markdown-inl.hpp"
#endif
