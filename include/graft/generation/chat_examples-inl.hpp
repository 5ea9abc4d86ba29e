#pragma once

#include <algorithm>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/generation/chat_examples.hpp"
#include "graft/generation/detail/labelled_chat.hpp"

namespace graft {

namespace detail {

/// The labels of one conversation, of which the messages before `prompt` are only answered to.
GRAFT_INLINE std::vector<std::int64_t> learned_labels(const LabelledChat& chat, Learn learn, std::size_t prompt) {
  if (learn == Learn::all) return {chat.ids.begin(), chat.ids.end()};
  if (chat.answers.empty() || chat.answers.back().message < prompt)
    throw OptionError("the assistant says nothing in it, so that nothing can be learned; remove it");
  return chat.labels([&](const LabelledChat::Answer& answer) {
    return answer.message >= prompt && (learn == Learn::answers || &answer == &chat.answers.back());
  });
}

}  // namespace detail

GRAFT_INLINE ChatExamples::ChatExamples(std::span<const Conversation> conversations,
                                        const std::optional<ChatFormat>& format, const Tokenizer& tokenizer,
                                        const ChatExamplesOptions& options) {
  encode(conversations, format, tokenizer, options);
}

GRAFT_INLINE ChatExamples::ChatExamples(std::span<const std::vector<ChatMessage>> conversations,
                                        const ChatFormat& format, const Tokenizer& tokenizer, std::size_t max_tokens) {
  std::vector<Conversation> named;
  for (const std::vector<ChatMessage>& messages : conversations) named.push_back({messages});
  encode(named, format, tokenizer, {.max_tokens = max_tokens});
}

GRAFT_INLINE void ChatExamples::encode(std::span<const Conversation> conversations,
                                       const std::optional<ChatFormat>& format, const Tokenizer& tokenizer,
                                       const ChatExamplesOptions& options) {
  if (conversations.empty()) throw OptionError("there is no conversation to learn from; give at least one");
  struct Encoded {
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> labels;
  };
  std::vector<Encoded> encoded(conversations.size());
  detail::for_each_row(
      conversations.size(), [&](std::size_t i) { return detail::row_name(conversations[i].where, "conversation", i); },
      [&](std::size_t i) {
        detail::LabelledChat chat = detail::labelled_chat(format, tokenizer, conversations[i].messages, options.end);
        encoded[i].labels = detail::learned_labels(chat, options.learn, conversations[i].prompt);
        encoded[i].ids = std::move(chat.ids);
      });
  for (std::size_t i = 0; i < encoded.size(); ++i) add_cut(encoded[i].ids, encoded[i].labels, i, options.max_tokens);
  if (size() == 0) {
    throw OptionError(message("nothing is learned of any of ", conversations.size(), " conversations: no answer ",
                              "begins within ", options.max_tokens, " tokens; allow more"));
  }
  make_fingerprint();
}

}  // namespace graft
