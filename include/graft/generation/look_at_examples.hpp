#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/generation/chat.hpp"
#include "graft/generation/learned_tokens.hpp"
#include "graft/generation/preference_examples.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

/// What there is to learn from, to be told before training starts. The warnings are the mistakes that are made most, a
/// sentence each: no end is learned, or it is cut off; the chat format is missing; next to nothing is learned.
struct ExampleFindings {
  std::vector<std::int64_t> lengths;  ///< tokens of each sequence; of a pair of preferences two
  std::int64_t tokens = 0;
  std::int64_t learned = 0;  ///< tokens that are judged
  std::int64_t cut = 0, dropped = 0;
  std::vector<std::string> warnings;

  /// Some lines for a terminal: counts, the histogram of the lengths, warnings.
  std::string text() const;
};

/// `end` is the token that ends an answer or a text: that of the format, or what the options of the examples had.
ExampleFindings look_at_examples(const LearnedTokens& data, const Tokenizer& tokenizer,
                                 std::optional<std::int32_t> end);
ExampleFindings look_at_examples(const PreferenceExamples& data, const Tokenizer& tokenizer,
                                 std::optional<std::int32_t> end);

/// How many lengths lie in 1 to 16, 17 to 32, 33 to 64 and so on, a line each with a bar of at most `columns` marks:
/// "    17-32    1,203  ########". Lines from the first that counts any to the last. Nothing for no lengths.
std::string length_histogram(std::span<const std::int64_t> lengths, std::size_t columns = 40);

/// How an example is shown. On a terminal with colours: {.begin = "\x1b[32m", .end = "\x1b[0m"}.
struct ExampleMarks {
  std::string begin = "«", end = "»";  ///< put around what is learned
  std::size_t tokens = 400;            ///< more are not shown, but counted
};

/// A sequence as the model sees it: the text of its tokens, special ones by their names, with marks around what is
/// learned. Control characters but tabs and line ends are shown as \x1b, so that data cannot drive the terminal.
std::string marked_example(const LearnedTokens& data, std::int64_t row, const Tokenizer& tokenizer,
                           const ExampleMarks& marks = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/look_at_examples-inl.hpp"
#endif
