#pragma once

#include <algorithm>

#include "graft/core/error.hpp"
#include "graft/generation/chat_examples.hpp"

namespace graft {

namespace detail {

/// Labels of a conversation's ids: of each message of the assistant's what stands behind its prompt, up to the token
/// that ends it.
GRAFT_INLINE std::vector<std::int64_t> chat_labels(std::span<const ChatMessage> messages,
                                                   std::span<const std::int32_t> ids, const ChatFormat& format,
                                                   const Tokenizer& tokenizer) {
  std::vector<std::int64_t> labels(ids.size(), -100);
  const auto end_token = tokenizer.id(format.end_token());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != ChatRole::assistant) continue;
    const std::vector<std::int32_t> prompt = format.encode(tokenizer, messages.first(i));
    const std::vector<std::int32_t> told = format.encode(tokenizer, messages.first(i + 1), /*answer=*/false);
    // A text at the border of prompt and answer may make a token of both, which is then learned.
    const auto begin = std::mismatch(prompt.begin(), prompt.end(), ids.begin(), ids.end()).second;
    auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(told.size(), ids.size()));
    while (end_token && end > begin && *(end - 1) != *end_token) --end;
    for (auto id = begin; id < end; ++id) labels[static_cast<std::size_t>(id - ids.begin())] = *id;
  }
  return labels;
}

}  // namespace detail

GRAFT_INLINE ChatExamples::ChatExamples(std::span<const std::vector<ChatMessage>> conversations,
                                        const ChatFormat& format, const Tokenizer& tokenizer, std::size_t max_tokens) {
  if (conversations.empty()) throw OptionError("there is no conversation to learn from; give at least one");
  for (std::size_t i = 0; i < conversations.size(); ++i) {
    try {
      std::vector<std::int32_t> ids = format.encode(tokenizer, conversations[i], /*answer=*/false);
      std::vector<std::int64_t> labels = detail::chat_labels(conversations[i], ids, format, tokenizer);
      if (ids.size() > max_tokens) {
        ids.resize(max_tokens);
        labels.resize(max_tokens);
        ++cut_;
      }
      if (std::count(labels.begin(), labels.end(), -100) == static_cast<std::ptrdiff_t>(labels.size()))
        throw OptionError("nothing of it is learned; the assistant must speak in it, before max_tokens");
      ids_.push_back(std::move(ids));
      labels_.push_back(std::move(labels));
    } catch (const OptionError& error) {
      throw OptionError(message("conversation ", i, ": ", error.what()));
    }
  }
}

GRAFT_INLINE ChatExamples::Batch ChatExamples::batch(std::span<const std::int64_t> rows) const {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<std::int64_t> labels;
  for (const std::int64_t row : rows) {
    ids.push_back(ids_.at(row));
    labels.insert(labels.end(), labels_.at(row).begin(), labels_.at(row).end());
  }
  return {pack(ids), torch::tensor(labels)};
}

}  // namespace graft
