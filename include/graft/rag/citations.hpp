#pragma once

#include <cstddef>
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

/// Reads the marks of an answer while it is written: [1], [2, 3]. A mark that names no source is taken out, with the
/// blanks before it; of a mark that names some, the rest. Between backticks, as Markdown writes code, nothing is a
/// mark. Text is held back only as long as it may be a mark, or blanks before one.
class CitationReader {
 public:
  /// The numbers that name a source.
  explicit CitationReader(std::set<std::size_t> numbers) : numbers_(std::move(numbers)) {}

  /// What of the answer so far is settled by `text` and was not given yet.
  std::string add(std::string_view text);

  /// What was held back. Nothing is added after it.
  std::string finish();

  const std::string& text() const { return text_; }                      ///< all that was given
  const std::vector<Citation>& citations() const { return citations_; }  ///< in the order of the text
  const std::vector<std::string>& unknown() const { return unknown_; }   ///< marks or numbers taken out, as written

 private:
  void read(bool last);
  bool read_mark(std::size_t blanks, bool last);
  bool read_backticks(bool last);
  void give(std::size_t bytes);

  std::set<std::size_t> numbers_;
  std::string pending_;
  std::size_t code_ = 0;  // backticks that opened the code we are in
  std::string text_;
  std::vector<Citation> citations_;
  std::vector<std::string> unknown_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/citations-inl.hpp"
#endif
