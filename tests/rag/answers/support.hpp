#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "graft/rag/generator.hpp"
#include "graft/retrieval/query.hpp"

namespace graft::test {

/// Says what a test tells it to, a few bytes at a time, and keeps what it was asked. A token is a byte.
class ScriptedGenerator : public Generator {
 public:
  using Reply = std::function<std::string(std::span<const ChatMessage>)>;

  explicit ScriptedGenerator(Reply reply, std::size_t context = 4096) : reply_(std::move(reply)), context_(context) {}
  explicit ScriptedGenerator(const std::string& reply, std::size_t context = 4096)
      : ScriptedGenerator([reply](auto) { return reply; }, context) {}

  std::string name() const override { return "a script"; }
  std::size_t context_tokens() const override { return context_; }
  LengthFunction length() const override {
    return [](std::string_view text) { return text.size(); };
  }
  std::size_t message_tokens() const override { return 10; }

  Completion generate(std::span<const ChatMessage> messages, const CompletionOptions& options,
                      const TextFunction& on_text) override {
    check_completion(messages, options);
    asked.emplace_back(messages.begin(), messages.end());
    const std::string text = reply_(messages);
    Completion out;
    out.refused_options = refused_options;
    for (std::size_t at = 0; at < text.size(); at += 3) {
      const std::string piece = text.substr(at, 3);
      out.text += piece;
      if (on_text && !on_text(piece)) {
        out.reason = CompletionEnd::stopped;
        break;
      }
    }
    return out;
  }

  /// Tokens of the messages, as a prompt's budget counts them.
  std::size_t tokens_of(std::span<const ChatMessage> messages) const {
    std::size_t out = 0;
    for (const ChatMessage& message : messages) out += message_tokens() + message.text().size();
    return out;
  }

  std::vector<std::vector<ChatMessage>> asked;
  std::vector<std::string> refused_options;

 private:
  Reply reply_;
  std::size_t context_;
};

/// A hit as a retriever gives it: bytes from `begin` on of document `document`.
inline Hit hit(DocumentId document, const std::string& text, std::size_t begin = 0,
               std::optional<double> similarity = {}) {
  Hit out;
  out.document.id = document;
  out.document.uri = "doc" + std::to_string(document);
  out.passage.id = 100 * document + static_cast<PassageId>(begin);
  out.passage.document = document;
  out.passage.range = {begin, begin + text.size()};
  out.passage.text = out.context = text;
  out.context_begin = begin;
  out.context_end = begin + text.size();
  out.similarity = similarity;
  return out;
}

}  // namespace graft::test
