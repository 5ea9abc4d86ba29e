#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "graft/core/mode.hpp"
#include "graft/generation/learned_tokens.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

struct TextExamplesOptions {
  std::size_t max_tokens = 1024;         ///< of a window, >= 2
  std::size_t overlap = 64;              ///< tokens that a window repeats of the one before it, below max_tokens
  std::optional<std::int32_t> end = {};  ///< the token behind each text, such as <|endoftext|>
};

/// Texts to go on reading: for a model that is to know a domain or a language. Each text, with the special tokens that
/// its tokenizer puts around one and then `end`, is cut into windows; no window holds two texts. What a window repeats
/// is context and not learned again, so that with an overlap of 1 or more each token of a text but its first is learned
/// exactly once, and with 0 the first of each window is not. The last window may be short. What reads like a special
/// token in a text is text.
class TextExamples : public LearnedTokens {
 public:
  /// Texts of one token are dropped; cut() counts those that became several windows. Throws OptionError for no texts,
  /// options out of range, or if no text has two tokens.
  TextExamples(std::span<const std::string> texts, const Tokenizer& tokenizer, const TextExamplesOptions& options = {});
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/text_examples-inl.hpp"
#endif
