#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

enum class ChatRole { system, user, assistant };

/// A stretch of a message. `quoted` text is that of others, a document or a question: whatever stands in it, a
/// generator sees to it that it is read as text, so that nothing in it can end the message.
struct ChatPiece {
  std::string text;  ///< UTF-8
  bool quoted = false;
};

struct ChatMessage {
  ChatRole role = ChatRole::user;
  std::vector<ChatPiece> pieces;

  /// All pieces as one text.
  std::string text() const {
    std::string out;
    for (const ChatPiece& piece : pieces) out += piece.text;
    return out;
  }
};

/// How a family of models has conversations written down, in C++ for each: the template in a model's file is a program
/// by whoever made the file, and is never run.
///
/// What messages say reaches the tokenizer as text with special tokens off, so that no message can end itself or begin
/// another. Llama 2 is the exception: its marks, [INST] and the like, are ordinary text; in quoted text they get a
/// space behind their first character.
class ChatFormat {
 public:
  /// By the family's name: chatml (Qwen3-Instruct-2507 and many others), smollm2, qwen2, qwen2.5 (these three with
  /// their system message where none is given), llama2, llama3, llama3.1 (with the dates that its template names where
  /// it is given none), gemma. Each writes what the template of its models does; the hybrid models of Qwen 3 write
  /// empty thoughts before a last answer besides. Throws OptionError, naming them, for another.
  static ChatFormat of_family(std::string_view name);

  /// By the special tokens of a model's vocabulary: <|im_start|> chatml, <|start_header_id|> llama3, <start_of_turn>
  /// gemma. Throws OptionError if there is none of them.
  static ChatFormat of_vocabulary(const Tokenizer& tokenizer);

  std::string_view family() const { return family_; }

  /// The special token that ends the assistant's message: where generation stops.
  std::string_view end_token() const { return end_token_; }

  /// The conversation, up to where the assistant's next message begins, or without `answer` to its end.
  /// Throws OptionError for no messages; for a system message that is not the first; in Llama 2's and Gemma's formats
  /// unless user and assistant take turns and the user begins.
  std::vector<PromptPart> parts(std::span<const ChatMessage> messages, bool answer = true) const;

  /// The ids of parts(). Throws FormatError if the vocabulary lacks one of the format's special tokens: the model is of
  /// another family.
  std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                   bool answer = true) const;

 private:
  using Write = void (*)(std::span<const ChatMessage>, std::string_view, bool, std::vector<PromptPart>&);

  ChatFormat(std::string_view family, std::string_view end_token, std::string_view system, Write write)
      : family_(family), end_token_(end_token), system_(system), write_(write) {}

  std::string_view family_, end_token_, system_;  // the latter: the message where none is given, or how it begins
  Write write_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/chat-inl.hpp"
#endif
