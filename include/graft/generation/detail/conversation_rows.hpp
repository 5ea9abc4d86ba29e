#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/generation/chat.hpp"
#include "graft/generation/conversations.hpp"
#include "graft/generation/detail/chat_text.hpp"

// A row of a file of conversations, as JSON, to what is learned from it.

namespace graft::detail {

struct FormMembers {
  ConversationForm form;
  std::vector<std::string_view> needed, optional;
};

/// In the order in which they are looked for: what has more says more.
inline const std::vector<FormMembers>& conversation_forms() {
  static const std::vector<FormMembers> forms{
      {ConversationForm::preference, {"chosen", "rejected"}, {"prompt"}},
      {ConversationForm::messages, {"messages"}, {}},
      {ConversationForm::sharegpt, {"conversations"}, {"system"}},
      {ConversationForm::prompt_completion, {"prompt", "completion"}, {}},
      {ConversationForm::alpaca, {"instruction", "output"}, {"input", "system"}},
      {ConversationForm::text, {"text"}, {}},
  };
  return forms;
}

/// Members of rows and messages that would change what is learned, and why graft does not take them.
struct RefusedMember {
  std::string_view name, wanted;
};
inline constexpr std::array refused_in_rows{
    RefusedMember{"tools", "empty: calls of tools are not learned"},
    RefusedMember{"functions", "empty: calls of tools are not learned"},
    RefusedMember{"history", "empty; write the conversation as messages"},
    RefusedMember{"images", "empty: only text is learned"},
    RefusedMember{"videos", "empty: only text is learned"},
    RefusedMember{"audios", "empty: only text is learned"},
};
inline constexpr std::array refused_in_messages{
    RefusedMember{"tool_calls", "empty: calls of tools are not learned"},
    RefusedMember{"function_call", "empty: calls of tools are not learned"},
    RefusedMember{"reasoning_content", "empty; write into the content what is to be learned"},
    RefusedMember{"thinking", "empty; write into the content what is to be learned"},
};

inline bool is_nothing(const Json& value) {
  return value.is_null() ||
         (value.is_string() ? value.get_ref<const std::string&>().empty() : value.is_structured() && value.empty());
}

template <std::size_t N>
void refuse_members(const JsonFields& fields, const std::array<RefusedMember, N>& refused) {
  for (const auto& [name, wanted] : refused) {
    const auto place = fields.json().find(name);
    if (place != fields.json().end() && !is_nothing(*place)) fields.fail(name, wanted);
  }
}

inline bool is_blank_text(std::string_view text) { return stripped(text).empty(); }

/// A member that is a text and not blank.
inline std::string said_text(const JsonFields& fields, std::string_view name) {
  std::string text = fields.text(name);
  if (is_blank_text(text)) fields.fail(name, "a text that is not blank");
  return text;
}

/// The same, or nothing if it is empty or not there.
inline std::string text_or_none(const JsonFields& fields, std::string_view name) {
  const auto place = fields.json().find(name);
  return place == fields.json().end() || is_nothing(*place) ? std::string() : fields.text(name);
}

inline std::vector<ChatPiece> read_content(const JsonFields& fields, std::string_view name) {
  const auto place = fields.json().find(name);
  if (place == fields.json().end() || !place->is_array()) {
    if (place != fields.json().end() && place->is_string()) return {{place->get<std::string>()}};
    fields.fail(name, "a text or a list of parts");
  }
  std::vector<ChatPiece> pieces;
  for (const Json& each : *place) {
    const JsonFields part(each, message(fields.where(), ", part ", pieces.size(), " of ", quoted(name)));
    if (const std::string type = part.text("type"); type != "text") part.fail("type", "\"text\": only text is learned");
    pieces.push_back({part.text("text")});
  }
  return pieces;
}

inline ChatRole read_role(const JsonFields& fields, std::string_view name, bool sharegpt) {
  const std::string role = fields.text(name);
  const auto is = [&](auto... names) { return ((role == names) || ...); };
  if (is("system")) return ChatRole::system;
  if (is("user") || (sharegpt && is("human"))) return ChatRole::user;
  if (is("assistant") || (sharegpt && is("gpt", "chatgpt"))) return ChatRole::assistant;
  const std::string_view known = sharegpt ? "system, human or gpt" : "system, user or assistant";
  if (is("tool", "function", "ipython", "observation", "function_call", "tool_call", "function_response"))
    fields.fail(name, message(known, ": calls of tools are not learned"));
  fields.fail(name, known);
}

/// A list of messages, each {"role", "content"} or {"from", "value"}.
inline std::vector<ChatMessage> read_messages(const JsonFields& row, std::string_view name, bool sharegpt) {
  const Json& list = row.value(name);
  if (!list.is_array() || list.empty()) row.fail(name, "a list of messages");
  std::vector<ChatMessage> messages;
  for (const Json& each : list) {
    const JsonFields fields(each, message(row.where(), ", message ", messages.size(), " of ", quoted(name)));
    refuse_members(fields, refused_in_messages);
    const std::string_view content = sharegpt ? "value" : "content";
    ChatMessage read{read_role(fields, sharegpt ? "from" : "role", sharegpt), read_content(fields, content)};
    if (read.role != ChatRole::system && is_blank_text(read.text())) fields.fail(content, "text that is not blank");
    if (read.role == ChatRole::assistant && fields.has("weight") && fields.number("weight", 0, 1) != 1)
      fields.fail("weight", "1: all messages of an assistant are learned; keep prompt and completion apart");
    messages.push_back(std::move(read));
  }
  return messages;
}

/// Throws unless one system message at most begins the conversation, and the assistant speaks in it.
inline void check_conversation(const std::vector<ChatMessage>& messages, const std::string& where) {
  for (std::size_t i = 1; i < messages.size(); ++i) {
    if (messages[i].role != ChatRole::system) continue;
    throw FormatError(message(where, ": message ", i, " is a system message; only the first may be"));
  }
  for (const ChatMessage& each : messages)
    if (each.role == ChatRole::assistant) return;
  throw FormatError(message(where, ": the assistant says nothing in it, so that nothing can be learned; remove it"));
}

/// An answer beside a prompt: a text, which the assistant says, or messages of which the first is the assistant's.
inline std::vector<ChatMessage> read_answer(const JsonFields& row, std::string_view name) {
  if (!row.value(name).is_array()) return {{ChatRole::assistant, {{said_text(row, name)}}}};
  std::vector<ChatMessage> messages = read_messages(row, name, false);
  if (messages.front().role == ChatRole::assistant) return messages;
  throw FormatError(message(row.where(), ": ", quoted(name), " must begin with a message of the assistant's, not the ",
                            role_name(messages.front().role), "'s"));
}

/// A text, which the user says, or messages of which the last is not the assistant's.
inline std::vector<ChatMessage> read_prompt(const JsonFields& row) {
  if (!row.value("prompt").is_array()) return {{ChatRole::user, {{said_text(row, "prompt")}}}};
  std::vector<ChatMessage> messages = read_messages(row, "prompt", false);
  if (messages.back().role != ChatRole::assistant) return messages;
  throw FormatError(message(row.where(), ": \"prompt\" ends with a message of the assistant's; that is the answer"));
}

inline Conversation read_conversation(const JsonFields& row, ConversationForm form) {
  Conversation read{{}, 0, row.where()};
  std::vector<ChatMessage>& messages = read.messages;
  if (form == ConversationForm::messages) {
    messages = read_messages(row, "messages", false);
  } else if (form == ConversationForm::prompt_completion) {
    if (row.value("prompt").is_array() != row.value("completion").is_array())
      row.fail("completion", "what \"prompt\" is: both are texts or both are lists of messages");
    messages = read_prompt(row);
    read.prompt = messages.size();
    messages = joined_messages(std::move(messages), read_answer(row, "completion"));
  } else {
    if (std::string system = text_or_none(row, "system"); !system.empty())
      messages.push_back({ChatRole::system, {{std::move(system)}}});
    if (form == ConversationForm::sharegpt) {
      messages = joined_messages(std::move(messages), read_messages(row, "conversations", true));
    } else {
      std::string asked = said_text(row, "instruction");
      if (const std::string input = text_or_none(row, "input"); !input.empty()) asked += "\n" + input;
      messages.push_back({ChatRole::user, {{std::move(asked)}}});
      read.prompt = messages.size();
      messages.push_back({ChatRole::assistant, {{said_text(row, "output")}}});
    }
  }
  check_conversation(messages, row.where());
  return read;
}

inline bool same_message(const ChatMessage& a, const ChatMessage& b) {
  return a.role == b.role && a.text() == b.text();
}

/// Of two conversations what they have in common at the start goes to the prompt, up to where the assistant's answers
/// differ.
inline void split_common_prompt(Preference& read) {
  std::size_t common = 0;
  const std::size_t most = std::min(read.chosen.size(), read.rejected.size());
  while (common < most && same_message(read.chosen[common], read.rejected[common])) ++common;
  const bool differ = common < most;
  if (!differ || common == 0 || read.chosen[common].role != ChatRole::assistant ||
      read.rejected[common].role != ChatRole::assistant) {
    throw FormatError(message(read.where, ": \"chosen\" and \"rejected\" ",
                              differ ? message("differ in message ", common, ", which is not an answer")
                                     : std::string("have no answers that differ"),
                              "; both must be the same conversation up to the assistant's last messages"));
  }
  const auto end = static_cast<std::ptrdiff_t>(common);
  read.prompt.assign(read.chosen.begin(), read.chosen.begin() + end);
  read.chosen.erase(read.chosen.begin(), read.chosen.begin() + end);
  read.rejected.erase(read.rejected.begin(), read.rejected.begin() + end);
}

inline Preference read_preference(const JsonFields& row) {
  Preference read{{}, {}, {}, row.where()};
  const bool lists = row.value("chosen").is_array();
  if (row.value("rejected").is_array() != lists)
    row.fail("rejected", "what \"chosen\" is: both are texts or both are lists of messages");
  const bool text_prompt = row.has("prompt") && row.value("prompt").is_string();
  if (lists && (text_prompt || !row.has("prompt"))) {
    read.chosen = read_messages(row, "chosen", false);
    read.rejected = read_messages(row, "rejected", false);
  }
  if (!read.chosen.empty() && (!text_prompt || read.chosen.front().role != ChatRole::assistant)) {
    split_common_prompt(read);
    const auto asks = [&](const ChatMessage& each) {
      return each.role == ChatRole::user && each.text() == row.json()["prompt"].get_ref<const std::string&>();
    };
    if (text_prompt && std::none_of(read.prompt.begin(), read.prompt.end(), asks))
      row.fail("prompt", "what the user says in \"chosen\" and \"rejected\"");
  } else {
    if (!row.has("prompt")) row.fail("prompt", "there: answers that are texts do not tell what it was");
    if (!lists && !text_prompt) row.fail("prompt", "a text, as \"chosen\" and \"rejected\" are");
    read.prompt = read_prompt(row);
    read.chosen = read_answer(row, "chosen");
    read.rejected = read_answer(row, "rejected");
  }
  check_conversation(joined_messages(read.prompt, read.chosen), row.where());
  check_conversation(joined_messages(read.prompt, read.rejected), row.where());
  if (std::equal(read.chosen.begin(), read.chosen.end(), read.rejected.begin(), read.rejected.end(), same_message))
    throw FormatError(message(row.where(), ": \"chosen\" and \"rejected\" are equal; nothing can be learned of that"));
  return read;
}

}  // namespace graft::detail
