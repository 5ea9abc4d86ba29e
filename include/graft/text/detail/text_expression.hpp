#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/text_range.hpp"

namespace graft::detail {

/// A regular expression of a tokenizer's file, in the notation of Oniguruma, for which such files are written.
///
/// The search goes back where it has to, and so an expression could take for ever: how often it may is limited, to some
/// hundred times a byte of text and some million times in all. What no limit counts is looking ahead: an expression
/// that looks to the end of the text from everywhere takes the square of its length. Threads: all() may run on many at
/// once.
class TextExpression {
 public:
  /// Throws FormatError, without the file's name, for what is no expression or longer than 16 KiB.
  explicit TextExpression(std::string expression);

  /// The matches from left to right, none of which overlap; empty ones too, but not where one has just ended.
  /// Throws FormatError if the search takes too long.
  std::vector<TextRange> all(std::string_view text) const;

 private:
  bool search(std::string_view text, std::size_t from, TextRange& found, std::size_t& budget) const;

  std::string expression_;
  std::shared_ptr<void> compiled_;  // Oniguruma's
};

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/text/detail/text_expression-inl.hpp"
#endif
