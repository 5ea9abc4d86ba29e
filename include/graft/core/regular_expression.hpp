#pragma once

#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// A regular expression in Python's notation that takes whole names, as re.fullmatch() does. The time to match is at
/// most the length of the name times that of the expression, whatever both are: fit for expressions from unknown files.
///
///   RegularExpression(R"(.*\.layer\.\d+\..*(query|value))").matches("encoder.layer.3.attention.self.query")
///
/// Understood: characters and their escapes, . and classes, \d \w \s and their opposites, groups, |, the repetitions
/// * + ? {m,n} and their lazy forms, ^ $ \A \Z \b \B, lookahead (?=...) and (?!...). Not understood, and refused: back
/// references, lookbehind, possessive repetition, atomic groups, flags, and characters outside ASCII. Names are
/// compared byte by byte. Threads: matches() may run on many at once.
/// Source: Thompson, Regular Expression Search Algorithm, CACM 11(6), 1968; run from the end, which makes lookahead
/// one more set of states.
class RegularExpression {
 public:
  /// Throws OptionError that names the place for an expression that is broken, not understood, longer than 64 KiB,
  /// nested deeper than 100 groups or 4 lookaheads, or that would take more than 10,000 states, counting repetitions.
  explicit RegularExpression(std::string_view expression);

  /// True if the expression takes all of `name`.
  bool matches(std::string_view name) const;

  const std::string& expression() const { return expression_; }

 private:
  friend class RegularExpressionCompiler;

  enum class Kind { byte, split, assertion, look, accept };
  enum class Assertion { line_start, line_end, text_end, word_edge, no_word_edge };

  struct State {
    Kind kind;
    int next = -1;   // what follows
    int other = -1;  // split: the second way; look: the start of what is looked for
    int depth = 0;   // how many lookaheads it stands in
    std::size_t set = 0;
    Assertion assertion = Assertion::text_end;
    bool negative = false;
  };

  bool holds(Assertion assertion, std::string_view name, std::size_t at) const;

  std::string expression_;
  std::vector<State> states_;
  std::vector<std::bitset<256>> sets_;
  std::vector<std::vector<int>> before_;  // of each state, those that lead to it
  std::vector<int> ends_;                 // the accepting ones
  int start_ = -1;
  int deepest_ = 0;
};

/// The expression that takes `text` and nothing else.
std::string regular_expression_of(std::string_view text);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/regular_expression-inl.hpp"
#endif
