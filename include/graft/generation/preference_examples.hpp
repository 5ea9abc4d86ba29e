#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/generation/chat.hpp"
#include "graft/generation/conversations.hpp"
#include "graft/generation/learned_tokens.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

struct PreferenceExamplesOptions {
  std::size_t max_tokens = SIZE_MAX;     ///< of a prompt with either answer: the rest is cut off
  std::optional<std::int32_t> end = {};  ///< without a chat format: the token behind an answer
};

/// Prompts with a chosen and a rejected answer, encoded: data for a Trainer (a DataSource of which a row is a pair) and
/// losses such as DPO's. Both answers are labelled from where either leaves the prompt to their end, as TRL's
/// DPOTrainer has them.
///
/// A pair is left out where max_tokens leaves nothing of an answer, or two answers that are the same.
/// Threads: immutable.
class PreferenceExamples {
 public:
  struct Batch {
    PackedBatch tokens;    ///< of N pairs 2 N sequences: all prompts with their chosen answer, then with their rejected
    torch::Tensor labels;  ///< [T] int64: the id in an answer, -100 in a prompt
  };

  /// Without a format, prompt and answer are one message each and go as they stand, as in ChatExamples. Throws
  /// OptionError as that does.
  PreferenceExamples(std::span<const Preference> preferences, const std::optional<ChatFormat>& format,
                     const Tokenizer& tokenizer, const PreferenceExamplesOptions& options = {});

  std::int64_t size() const { return chosen_.size(); }
  std::int64_t length(std::int64_t row) const { return chosen_.length(row) + rejected_.length(row); }  ///< of both
  Batch batch(std::span<const std::int64_t> rows) const;

  /// Prompts with one of the answers, row by row.
  const LearnedTokens& chosen() const { return chosen_; }
  const LearnedTokens& rejected() const { return rejected_; }

  std::int64_t cut() const { return cut_; }          ///< pairs of which either was longer than max_tokens
  std::int64_t dropped() const { return dropped_; }  ///< pairs that are left out

  const std::string& fingerprint() const { return fingerprint_; }

 private:
  struct Side : LearnedTokens {
    using LearnedTokens::add;
    using LearnedTokens::make_fingerprint;
  };

  Side chosen_, rejected_;
  std::int64_t cut_ = 0, dropped_ = 0;
  std::string fingerprint_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/preference_examples-inl.hpp"
#endif
