#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/document.hpp"

namespace graft {

/// A text that a prompt holds, under the number by which answers cite it.
struct Source {
  std::size_t number = 0;  ///< 1, 2, ...
  DocumentId document = 0;
  PassageId passage = 0;  ///< 0: a document or part of one, not a passage that was found
  std::string uri;
  std::string heading = {};
  std::size_t begin = 0;  ///< bytes of the document
  std::size_t end = 0;
  std::string text = {};  ///< these bytes; empty where they are many
};

/// A source that an answer cites: the bytes [begin, end) of its text are the mark, such as "[2]".
struct Citation {
  std::size_t number = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const Citation&) const = default;
};

/// Reads the marks of an answer while it is written, in the forms that models write: [1], [1, 2], [1-3], [[1]], [^1],
/// [Source 1], (Source 1), [1†source], 【1】 and the like. The numbers from 1 on are marks; one above 999 only if a
/// source has it.
///
/// No mark is what Markdown means otherwise: code in fences, indented or between backticks, links, definitions of links
/// and footnotes, escaped brackets; nor what stands in a formula, \(...\), \[...\] or $$...$$; nor a value, behind "="
/// or a key in quotes; nor an index, behind an expression: items[1], f(x)[1], a[0][1]. Words are followed by marks too
/// ("The sky is blue[1]."), so such a mark counts where it ends a clause of plain words and all marks of the answer are
/// written so; it never changes the text.
///
/// A mark that names no source is taken out, with the blanks before it; of a mark that names some, the rest. All else
/// stays as it was written. Text is held back only as long as it may be a mark, or blanks before one, or the front of a
/// line whose kind is not known; and a mark that names no source, as long as it may stand between backticks.
class CitationReader {
 public:
  /// The numbers that name a source.
  explicit CitationReader(std::set<std::size_t> numbers);
  GRAFT_INLINE ~CitationReader();

  /// What of the answer so far is settled by `text` and was not given yet.
  std::string add(std::string_view text);

  /// What was held back. Nothing is added after it.
  std::string finish();

  // After finish():
  const std::string& text() const;                  ///< all that was given
  const std::vector<Citation>& citations() const;   ///< in the order of the text
  const std::vector<std::string>& unknown() const;  ///< marks or numbers taken out, as written

 private:
  class Reading;
  std::unique_ptr<Reading> reading_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/citations-inl.hpp"
#endif
