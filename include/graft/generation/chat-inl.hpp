#pragma once

#include <algorithm>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/generation/chat.hpp"
#include "graft/generation/detail/chat_text.hpp"

namespace graft {

namespace detail {

/// Puts parts together; text goes to the text before it, since it is one text that the tokenizer then sees.
class PromptWriter {
 public:
  explicit PromptWriter(std::vector<PromptPart>& parts) : parts_(parts) {}

  PromptWriter& special(std::string_view token) {
    parts_.push_back({std::string(token), true});
    return *this;
  }
  PromptWriter& text(std::string_view text) {
    if (text.empty()) return *this;
    if (parts_.empty() || parts_.back().special) parts_.push_back({});
    parts_.back().text += text;
    return *this;
  }

 private:
  std::vector<PromptPart>& parts_;
};

GRAFT_INLINE void write_chatml(std::span<const ChatMessage> messages, std::string_view system, bool answer,
                               std::vector<PromptPart>& parts) {
  PromptWriter out(parts);
  const auto write = [&](ChatRole role, std::string_view text) {
    out.special("<|im_start|>").text(role_name(role)).text("\n").text(text).special("<|im_end|>").text("\n");
  };
  if (!system.empty() && messages.front().role != ChatRole::system) write(ChatRole::system, system);
  for (const ChatMessage& message : messages) write(message.role, message.text());
  if (answer) out.special("<|im_start|>").text("assistant\n");
}

/// `preface` begins the system message, which is there if it is.
GRAFT_INLINE void write_llama3(std::span<const ChatMessage> messages, std::string_view preface, bool answer,
                               std::vector<PromptPart>& parts) {
  PromptWriter out(parts);
  const auto begin = [&](ChatRole role) {
    out.special("<|start_header_id|>").text(role_name(role)).special("<|end_header_id|>").text("\n\n");
  };
  out.special("<|begin_of_text|>");
  if (!preface.empty() && messages.front().role != ChatRole::system) {
    begin(ChatRole::system);
    out.text(preface).special("<|eot_id|>");
  }
  for (const ChatMessage& message : messages) {
    begin(message.role);
    if (message.role == ChatRole::system) out.text(preface);
    out.text(stripped(message.text())).special("<|eot_id|>");
  }
  if (answer) begin(ChatRole::assistant);
}

/// Throws unless the messages behind a system message are the user's and the assistant's in turn.
GRAFT_INLINE void check_turns(std::span<const ChatMessage> messages, std::string_view family) {
  const std::size_t first = messages.front().role == ChatRole::system;
  for (std::size_t i = first; i < std::max(messages.size(), first + 1); ++i) {
    const ChatRole wanted = (i - first) % 2 == 0 ? ChatRole::user : ChatRole::assistant;
    if (i < messages.size() && messages[i].role == wanted) continue;
    throw OptionError(message(
        "message ", i,
        i < messages.size() ? message(" is the ", role_name(messages[i].role), "'s") : std::string(" is missing"),
        "; in the format of ", family, " it must be the ", role_name(wanted), "'s"));
  }
}

/// The message's text, in which nothing that is quoted reads like one of Llama 2's marks.
GRAFT_INLINE std::string llama2_text(const ChatMessage& message) {
  std::string out;
  for (const ChatPiece& piece : message.pieces) {
    std::string text = piece.text;
    for (const std::string_view mark : {"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"}) {
      if (!piece.quoted) break;
      for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; ++at) text.insert(at + 1, 1, ' ');
    }
    out += text;
  }
  return out;
}

GRAFT_INLINE void write_llama2(std::span<const ChatMessage> messages, std::string_view, bool,
                               std::vector<PromptPart>& parts) {
  check_turns(messages, "llama2");
  PromptWriter out(parts);
  std::string system;
  for (const ChatMessage& message : messages) {
    if (message.role == ChatRole::system) {
      system = "<<SYS>>\n" + llama2_text(message) + "\n<</SYS>>\n\n";
    } else if (message.role == ChatRole::user) {
      out.special("<s>")
          .text("[INST] ")
          .text(stripped(std::exchange(system, {}) + llama2_text(message)))
          .text(" [/INST]");
    } else {
      out.text(" ").text(stripped(llama2_text(message))).text(" ").special("</s>");
    }
  }
}

GRAFT_INLINE void write_gemma(std::span<const ChatMessage> messages, std::string_view, bool answer,
                              std::vector<PromptPart>& parts) {
  check_turns(messages, "gemma");
  PromptWriter out(parts);
  std::string system;
  out.special("<bos>");
  for (const ChatMessage& message : messages) {
    if (message.role == ChatRole::system) {
      system = message.text() + "\n\n";
      continue;
    }
    out.special("<start_of_turn>").text(message.role == ChatRole::user ? "user\n" : "model\n");
    out.text(std::exchange(system, {})).text(stripped(message.text())).special("<end_of_turn>").text("\n");
  }
  if (answer) out.special("<start_of_turn>").text("model\n");
}

}  // namespace detail

GRAFT_INLINE ChatFormat ChatFormat::of_family(std::string_view name) {
  const ChatFormat formats[] = {
      {"chatml", "<|im_end|>", "", detail::write_chatml},
      {"smollm2", "<|im_end|>", "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
       detail::write_chatml},
      {"qwen2", "<|im_end|>", "You are a helpful assistant.", detail::write_chatml},
      {"qwen2.5", "<|im_end|>", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
       detail::write_chatml},
      {"llama2", "</s>", "", detail::write_llama2},
      {"llama3", "<|eot_id|>", "", detail::write_llama3},
      {"llama3.1", "<|eot_id|>", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
       detail::write_llama3},
      {"gemma", "<end_of_turn>", "", detail::write_gemma},
  };
  std::string known;
  for (const ChatFormat& format : formats) {
    if (format.family_ == name) return format;
    known += message(known.empty() ? "" : ", ", format.family_);
  }
  throw OptionError(message("no chat format is called ", quoted(name), "; choose one of ", known));
}

GRAFT_INLINE ChatFormat ChatFormat::of_vocabulary(const Tokenizer& tokenizer) {
  constexpr std::pair<const char*, const char*> marks[] = {
      {"<|im_start|>", "chatml"}, {"<|start_header_id|>", "llama3"}, {"<start_of_turn>", "gemma"}};
  for (const auto& [token, family] : marks)
    if (tokenizer.id(token)) return of_family(family);
  throw OptionError("the vocabulary does not tell how the model chats; name the chat format, such as llama2");
}

GRAFT_INLINE std::vector<PromptPart> ChatFormat::parts(std::span<const ChatMessage> messages, bool answer) const {
  if (messages.empty()) throw OptionError("a conversation without messages; give at least one");
  for (std::size_t i = 1; i < messages.size(); ++i) {
    if (messages[i].role != ChatRole::system) continue;
    throw OptionError(message("message ", i, " is a system message; only the first may be"));
  }
  std::vector<PromptPart> out;
  write_(messages, system_, answer, out);
  return out;
}

GRAFT_INLINE std::vector<std::int32_t> ChatFormat::encode(const Tokenizer& tokenizer,
                                                          std::span<const ChatMessage> messages, bool answer) const {
  return tokenizer.encode_prompt(parts(messages, answer));
}

}  // namespace graft
