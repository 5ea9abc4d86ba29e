#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/generation/chat.hpp"

namespace graft {

/// How the rows of a file are written, told by the names of their members or columns.
enum class ConversationForm {
  messages,           ///< "messages": a list of {"role": ..., "content": ...}
  prompt_completion,  ///< "prompt" and "completion": two texts, or two lists of messages
  text,               ///< "text": what a model is to go on reading, no conversation
  alpaca,             ///< "instruction" and "output", perhaps "input" (below the instruction) and "system"
  sharegpt,           ///< "conversations": a list of {"from": ..., "value": ...}, perhaps "system"
  preference,         ///< "chosen" and "rejected", and "prompt" unless both are lists that begin with it
};

/// The form's name and members, for a person: "alpaca (instruction, output)".
std::string_view to_string(ConversationForm form);

/// What is said, in order. The first `prompt` messages only lead up to what is learned: those of a row that keeps
/// prompt and answer apart. 0 where the row does not.
struct Conversation {
  std::vector<ChatMessage> messages;
  std::size_t prompt = 0;
  std::string where = {};  ///< file and line, for errors; may be empty
};

/// Two answers to the same prompt, of which the first is the better one.
struct Preference {
  std::vector<ChatMessage> prompt, chosen, rejected;
  std::string where = {};  ///< file and line, for errors; may be empty
};

struct ConversationOptions {
  std::optional<ConversationForm> form = {};  ///< by the first row unless given
  bool skip_bad_rows = false;                 ///< count them instead of throwing
  std::size_t row_bytes = 16 << 20;           ///< the longest row
  std::size_t file_bytes = 256 << 20;         ///< the longest file that is read as one: an array, a .txt
  std::uint64_t rows = 100'000'000;           ///< rows of a file
};

/// A file of rows to train a language model on. Of the three lists one is filled, the form says which.
struct ConversationFile {
  ConversationForm form = ConversationForm::messages;
  std::vector<Conversation> conversations;  ///< of all forms but the two below
  std::vector<std::string> texts;           ///< of form text
  std::vector<Preference> preferences;      ///< of form preference
  std::uint64_t doubled = 0;                ///< rows that say what an earlier one says; they are kept
  std::uint64_t skipped = 0;                ///< bad rows, and what was wrong with the first twenty
  std::vector<std::string> faults;
};

/// Reads a file as the field writes it: .jsonl or .ndjson, an object a line; .json, the same or one array of objects;
/// .csv and .tsv with named columns, for the forms whose members are texts; .txt, all of it one text.
///
/// Roles are system, user and assistant, in ShareGPT's form human, gpt and chatgpt too; a system message stands first,
/// and it alone may be blank: in formats with a system message of their own that takes it away. Content is a text or a
/// list of parts {"type": "text", "text": ...}. An assistant speaks in every conversation. Where prompt and completion
/// are texts, the one is the user's, the other the assistant's. Members that graft knows nothing of are passed over,
/// but not those that would change what is learned: tools and calls of them, images, sounds, an assistant's reasoning
/// beside its content, weights of 0, Alpaca's history.
///
/// Throws FileError if the file cannot be read, OptionError if its ending names no format, FormatError, with file and
/// line ("row" in an array), for the first row that breaks a format or rule, is of another form than the first, whose
/// text is blank or whose chosen and rejected answers are equal; or with skip_bad_rows if no row is good.
ConversationFile read_conversations(const std::filesystem::path& path, const ConversationOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/conversations-inl.hpp"
#endif
