#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/generation/chat.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

/// Conversations to learn from, encoded: data for a Trainer. Only what the assistant says is learned, with the token
/// that ends it; everything else is what it answers to. This is supervised fine-tuning as transformers' chat trainers
/// do it with the loss on the assistant alone.
///
///     const ChatExamples data(conversations, ChatFormat::of_family("chatml"), tokenizer);
///     trainer.train(data, [&](const ChatExamples::Batch& batch) {
///       const TokenPredictions learned = model->predictions(batch.tokens, batch.labels);
///       return cross_entropy(learned.logits, learned.targets);
///     });
///
/// Threads: immutable.
class ChatExamples {
 public:
  struct Batch {
    PackedBatch tokens;
    torch::Tensor labels;  ///< [T] int64: the id where it is learned, else -100
  };

  /// A conversation longer than `max_tokens` is cut there. Throws OptionError, with the number of the conversation, if
  /// there are none, as ChatFormat::encode() does, or if nothing of one is learned: no assistant speaks in it, or only
  /// beyond max_tokens.
  ChatExamples(std::span<const std::vector<ChatMessage>> conversations, const ChatFormat& format,
               const Tokenizer& tokenizer, std::size_t max_tokens = SIZE_MAX);

  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t length(std::int64_t row) const { return static_cast<std::int64_t>(ids_.at(row).size()); }
  std::int64_t cut() const { return cut_; }  ///< how many were longer than max_tokens

  /// The ids of a conversation, and the label of each.
  const std::vector<std::int32_t>& ids(std::int64_t row) const { return ids_.at(row); }
  const std::vector<std::int64_t>& labels(std::int64_t row) const { return labels_.at(row); }

  Batch batch(std::span<const std::int64_t> rows) const;

 private:
  std::vector<std::vector<std::int32_t>> ids_;
  std::vector<std::vector<std::int64_t>> labels_;
  std::int64_t cut_ = 0;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/chat_examples-inl.hpp"
#endif
