#include "graft/generation/conversations.hpp"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "graft/core/json.hpp"

namespace graft::fuzzing::conversations {

namespace {

Json list_of(const std::vector<ChatMessage>& messages) {
  Json list = Json::array();
  for (const ChatMessage& each : messages) {
    const char* role = each.role == ChatRole::system ? "system" : each.role == ChatRole::user ? "user" : "assistant";
    list.push_back({{"role", role}, {"content", each.text()}});
  }
  return list;
}

bool speaks(const std::vector<ChatMessage>& messages) {
  return std::any_of(messages.begin(), messages.end(),
                     [](const ChatMessage& each) { return each.role == ChatRole::assistant; });
}

}  // namespace

/// The first byte says how the rest, a file of conversations, is read. What is read can be learned from, and reads the
/// same when it is written as messages.
void fuzz(std::string_view input) {
  constexpr std::array names{"a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"};
  const unsigned choice = cut_byte(input);
  const ConversationOptions options{.skip_bad_rows = (choice & 128) != 0, .row_bytes = 4096, .file_bytes = 65536};
  const ConversationFile file = read_conversations(file_of(input, names[choice % names.size()]), options);
  check(!file.conversations.empty() || !file.texts.empty() || !file.preferences.empty(), "a file without rows is read");
  std::string written;
  for (const Conversation& each : file.conversations) {
    check(each.prompt < each.messages.size() && speaks(each.messages), "nothing can be learned of a conversation");
    written += Json{{"messages", list_of(each.messages)}}.dump() + "\n";
  }
  for (const Preference& each : file.preferences) {
    check(!each.prompt.empty() && speaks(each.chosen) && speaks(each.rejected), "a pair has no prompt or answer");
    written +=
        Json{{"prompt", list_of(each.prompt)}, {"chosen", list_of(each.chosen)}, {"rejected", list_of(each.rejected)}}
            .dump() +
        "\n";
  }
  if (written.empty()) return;
  must("conversations cannot be read after writing", [&] {
    const ConversationFile again = read_conversations(file_of(written, "written.jsonl"));
    check(
        again.conversations.size() == file.conversations.size() && again.preferences.size() == file.preferences.size(),
        "a row is lost or added by writing and reading");
    for (std::size_t i = 0; i < again.conversations.size(); ++i)
      check(list_of(again.conversations[i].messages) == list_of(file.conversations[i].messages),
            "a conversation reads otherwise after writing");
  });
}

}  // namespace graft::fuzzing::conversations
