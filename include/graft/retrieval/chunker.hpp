#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/document.hpp"

namespace graft {

/// How long a text is, in whatever is counted: bytes, words, the tokens of an encoder. Called for pieces of a document
/// that are whole UTF-8 characters. A longer text should not be shorter.
using LengthFunction = std::function<std::size_t(std::string_view)>;

struct ChunkerOptions {
  std::size_t size = 200;  ///< the longest passage, its heading included, in the length function's unit; at least 1
  std::optional<std::size_t> overlap = {};  ///< how much of a passage the next one may repeat, in the same unit; at
                                            ///< most half of size. Unless given a tenth of size, at most 20
  bool markdown = false;  ///< a passage ends before each heading of CommonMark and carries those above it
};

/// Cuts a text into passages that overlap a little, each as long as allowed, and each cut where it hurts least: between
/// paragraphs if that leaves the passage at least half full, else between sentences, else words, else characters.
///
/// The passages stand in the order of the text. Every byte that is not white space lies in one; at the ends of a
/// passage is no white space. A passage is longer than `size` only where one character, with the marks on it and its
/// heading, is. A heading longer than half of `size` is dropped from its passages. Threads: cut() may run on many at
/// once if the length function may.
class Chunker {
 public:
  /// `name` says what `length` counts ("tokens of all-MiniLM-L6-v2"), for name().
  /// Throws OptionError for options outside the ranges stated above, an empty name or no function.
  Chunker(LengthFunction length, std::string name, ChunkerOptions options = {});

  /// Throws OptionError for text that is not UTF-8.
  std::vector<PassageRange> cut(std::string_view text) const;

  /// Says how this cuts: two chunkers of one name cut a text into the same passages.
  std::string name() const;

 private:
  LengthFunction length_;
  std::string name_;
  ChunkerOptions options_;  // with an overlap
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/chunker-inl.hpp"
#endif
