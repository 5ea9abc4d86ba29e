#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/generation/chat.hpp"
#include "graft/generation/conversations.hpp"
#include "graft/generation/learned_tokens.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

/// Which tokens of a conversation are learned.
enum class Learn {
  all,      ///< every token, prompts and marks of the format too
  answers,  ///< what the assistant says and what ends it; not where the row's prompt says it
  last,     ///< only the assistant's last message
};

struct ChatExamplesOptions {
  Learn learn = Learn::answers;
  std::size_t max_tokens = SIZE_MAX;     ///< of a conversation: the rest is cut off
  std::optional<std::int32_t> end = {};  ///< without a chat format: the token behind an answer
};

/// Conversations to learn from, encoded. Learned is what the assistant says, up to where the next message would begin:
/// its text, the token that ends it and, where the format has one, the line end behind that. All else is what it
/// answers to. An answer begins where the conversation's tokens leave those of the prompt that generation is given. Ids
/// and labels are those of TRL's SFTTrainer: with completion_only_loss for rows that keep their prompt apart, and for
/// all others with assistant_only_loss and a template that marks answers so, as TRL's of Gemma and Llama 3.
///
///     const ChatExamples data(conversations, ChatFormat::of_family("chatml"), tokenizer);
///     trainer.train(data, [&](const ChatExamples::Batch& batch) {
///       const TokenPredictions learned = model->predictions(batch.tokens, batch.labels);
///       return cross_entropy(learned.logits, learned.targets);
///     });
///
/// Without a chat format a row is one message of the user's and one of the assistant's, which go as they stand: the
/// tokenizer's own special tokens, both messages as one text, and `end`. That is what TRL makes of prompts and
/// completions that are texts, and what a model without a chat format is trained on.
/// A conversation longer than max_tokens loses its end, and is left out where nothing is learned of the rest, as TRL
/// does; both are counted. Encoding runs on LibTorch's threads.
class ChatExamples : public LearnedTokens {
 public:
  /// Throws OptionError, with the conversation's file and line or its number, if there are none, as
  /// ChatFormat::encode() does, if the assistant does not speak in one, without a format if one is not a message and
  /// an answer, or if nothing of any is learned within max_tokens.
  ChatExamples(std::span<const Conversation> conversations, const std::optional<ChatFormat>& format,
               const Tokenizer& tokenizer, const ChatExamplesOptions& options = {});

  /// The same for conversations as lists of messages.
  ChatExamples(std::span<const std::vector<ChatMessage>> conversations, const ChatFormat& format,
               const Tokenizer& tokenizer, std::size_t max_tokens = SIZE_MAX);

 private:
  void encode(std::span<const Conversation> conversations, const std::optional<ChatFormat>& format,
              const Tokenizer& tokenizer, const ChatExamplesOptions& options);
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/chat_examples-inl.hpp"
#endif
