#include "graft/generation/conversations.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

/// What is read from a file of this name and content.
ConversationFile read_as(const std::string& name, const std::string& content, const ConversationOptions& options = {}) {
  const TemporaryDirectory directory;
  std::ofstream(directory / name) << content;
  return read_conversations(directory / name, options);
}

/// "system: Be brief. | user: Hi || assistant: Yes?", with two bars behind a prompt.
std::string shown(const std::vector<ChatMessage>& messages, std::size_t prompt = 0) {
  std::string out;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatRole role = messages[i].role;
    if (i > 0) out += i == prompt ? " || " : " | ";
    out += role == ChatRole::system ? "system: " : role == ChatRole::user ? "user: " : "assistant: ";
    out += messages[i].text();
  }
  return out;
}

std::string only_row(const std::string& name, const std::string& content) {
  const ConversationFile file = read_as(name, content);
  EXPECT_EQ(file.conversations.size(), 1u);
  return shown(file.conversations.at(0).messages, file.conversations.at(0).prompt);
}

std::string only_pair(const std::string& content) {
  const Preference read = read_as("a.jsonl", content).preferences.at(0);
  return shown(read.prompt) + " + " + shown(read.chosen) + " - " + shown(read.rejected);
}

const std::string hi = R"({"role": "user", "content": "Hi"})", yes = R"({"role": "assistant", "content": "Yes?"})",
                  no = R"({"role": "assistant", "content": "No."})";

TEST(Conversations, AreReadInEveryFormOfTheField) {
  EXPECT_EQ(only_row("a.jsonl", R"({"id": 7, "tools": [], "messages": [{"role": "system", "content": ""}, )"
                                R"({"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", )"
                                R"("text": "i"}]}, {"role": "assistant", "content": "Yes?", "weight": 1, )"
                                R"("tool_calls": null}]})"),
            "system:  | user: Hi | assistant: Yes?");
  EXPECT_EQ(only_row("a.ndjson", "\n{\"prompt\": \"Hi \", \"completion\": \" Yes?\"}\n\n"),
            "user: Hi  || assistant:  Yes?");
  EXPECT_EQ(only_row("a.jsonl", "{\"prompt\": [" + hi + "], \"completion\": [" + yes + ", " + hi + ", " + no + "]}"),
            "user: Hi || assistant: Yes? | user: Hi | assistant: No.");
  EXPECT_EQ(only_row("a.json", R"([{"instruction": "Add", "input": "1+1", "output": "2", "text": "Below is"}])"),
            "user: Add\n1+1 || assistant: 2");
  EXPECT_EQ(
      only_row("a.json", "{\"instruction\": \"Say\", \"input\": \"\", \"output\": \"2\", \"system\": \"Brief.\"}"),
      "system: Brief. | user: Say || assistant: 2");
  EXPECT_EQ(only_row("a.jsonl", R"({"system": "Brief.", "conversations": [{"from": "human", "value": "Hi"}, )"
                                R"({"from": "gpt", "value": "Yes?"}]})"),
            "system: Brief. | user: Hi | assistant: Yes?");
  EXPECT_EQ(only_row("a.csv", "completion,prompt,note\n\"a, \"\"b\"\"\nc\",Hi,x\n"),
            "user: Hi || assistant: a, \"b\"\nc");
  EXPECT_EQ(only_row("a.tsv", "instruction\tinput\toutput\nSay\t\tYes\n"), "user: Say || assistant: Yes");
  EXPECT_EQ(read_as("a.jsonl", "{\"text\": \"One.\"}\n{\"text\": \"Two.\"}\n").texts,
            (std::vector<std::string>{"One.", "Two."}));
  EXPECT_EQ(read_as("a.txt", "One.\n\nTwo.\n").texts, std::vector<std::string>{"One.\n\nTwo.\n"});
  EXPECT_EQ(read_as("a.txt", "One.").form, ConversationForm::text);
  EXPECT_EQ(to_string(ConversationForm::sharegpt), "ShareGPT (conversations: from, value)");
}

TEST(Conversations, OfPreferencesShareTheirPrompt) {
  EXPECT_EQ(only_pair(R"({"prompt": "Hi", "chosen": "Yes?", "rejected": "No."})"),
            "user: Hi + assistant: Yes? - assistant: No.");
  const std::string answers = "\"chosen\": [" + yes + "], \"rejected\": [" + no + "]",
                    whole = "\"chosen\": [" + hi + ", " + yes + "], \"rejected\": [" + hi + ", " + no + "]";
  EXPECT_EQ(only_pair("{\"prompt\": [" + hi + "], " + answers + "}"), "user: Hi + assistant: Yes? - assistant: No.");
  EXPECT_EQ(only_pair("{" + whole + "}"), "user: Hi + assistant: Yes? - assistant: No.");
  EXPECT_EQ(only_pair("{\"prompt\": \"Hi\", " + whole + ", \"messages\": []}"),
            "user: Hi + assistant: Yes? - assistant: No.");
  EXPECT_EQ(only_pair("{\"prompt\": \"Hi\", " + answers + "}"), "user: Hi + assistant: Yes? - assistant: No.");
}

TEST(Conversations, CountRowsThatStandTwiceAndBadOnes) {
  const std::string row = R"({"prompt": "Hi", "completion": "Yes?"})";
  EXPECT_EQ(read_as("a.jsonl", row + "\n" + row + "\n" + R"({"completion": "Yes?", "prompt": "Hi"})").doubled, 2u);
  const std::string bad = "{\"prompt\": \"Hi\"\n" + row + "\n" + R"({"prompt": "Hi", "completion": " "})" + "\n";
  const ConversationFile file = read_as("a.jsonl", bad, {.skip_bad_rows = true});
  EXPECT_EQ(file.conversations.size(), 1u);
  EXPECT_EQ(file.skipped, 2u);
  ASSERT_EQ(file.faults.size(), 2u);
  EXPECT_TRUE(file.faults[1].ends_with("line 3: \"completion\" is \" \", but must be a text that is not blank"))
      << file.faults[1];
  const ConversationFile columns = read_as("a.csv", "prompt,completion\nHi\nHi,Yes?\nHi,\n", {.skip_bad_rows = true});
  EXPECT_EQ(columns.conversations.size(), 1u);
  EXPECT_EQ(columns.skipped, 2u);
}

TEST(Conversations, FormMayBeNamed) {
  const std::string both = "{\"prompt\": \"Hi\", \"completion\": \"Yes?\", \"text\": \"Hi Yes?\"}";
  EXPECT_EQ(read_as("a.jsonl", both).form, ConversationForm::prompt_completion);
  EXPECT_EQ(read_as("a.jsonl", both, {.form = ConversationForm::text}).texts, std::vector<std::string>{"Hi Yes?"});
}

struct BadFile {
  std::string name, content, error;
};

TEST(Conversations, SayWhatIsWrongAndWhere) {
  const std::string forms =
      "preferences (prompt, chosen, rejected); messages (messages: role, content); ShareGPT (conversations: from, "
      "value); prompts and completions (prompt, completion); Alpaca (instruction, input, output); plain text (text)";
  const auto messages = [](const std::string& list) { return "{\"messages\": [" + list + "]}\n"; };
  const std::vector<BadFile> files{
      {"a.jsonl", messages(hi + ", " + yes) + "{\"messages\": [", "FormatError: D/a.jsonl, line 2"},
      {"a.jsonl", "", "FormatError: D/a.jsonl: holds no rows; is it the right file?"},
      {"a.csv", "prompt,completion\n", "FormatError: D/a.csv: holds no rows; is it the right file?"},
      {"a.parquet", "PAR1",
       "OptionError: D/a.parquet: the ending \".parquet\" names no format; known are .jsonl, .ndjson, .json, .csv, "
       ".tsv, .txt"},
      {"a.jsonl", "{\"question\": \"Hi\", \"answer\": \"Yes\"}",
       "FormatError: D/a.jsonl, line 1: has \"answer\", \"question\", which is no form of a conversation; known are " +
           forms},
      {"a.csv", "question,answer\nHi,Yes\n",
       "FormatError: D/a.csv, line 2: has \"question\", \"answer\", which is no form of a conversation; known are " +
           forms},
      {"a.jsonl", messages(hi + ", " + yes) + "{\"text\": \"x\"}",
       "FormatError: D/a.jsonl, line 2: has \"text\", a row of plain text (text); the file is one of messages "
       "(messages: role, content), keep each form in a file of its own"},
      {"a.jsonl", "[1]", "FormatError: D/a.jsonl, line 1: is an array of 1, but must be an object"},
      {"a.json", "[{\"text\": \"a\"}, 3]", "FormatError: D/a.json, row 2: is 3, but must be an object"},
      {"a.jsonl", messages("{\"role\": \"robot\", \"content\": \"Hi\"}"),
       "FormatError: D/a.jsonl, line 1, message 0 of \"messages\": \"role\" is \"robot\", but must be system, user or "
       "assistant"},
      {"a.jsonl", messages(hi + ", {\"role\": \"tool\", \"content\": \"4\"}"),
       "FormatError: D/a.jsonl, line 1, message 1 of \"messages\": \"role\" is \"tool\", but must be system, user or "
       "assistant: calls of tools are not learned"},
      {"a.jsonl", messages(hi + ", {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": 1}]}"),
       "FormatError: D/a.jsonl, line 1, message 1 of \"messages\": \"tool_calls\" is an array of 1, but must be empty: "
       "calls of tools are not learned"},
      {"a.jsonl", messages("{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {}}]}"),
       "FormatError: D/a.jsonl, line 1, message 0 of \"messages\", part 0 of \"content\": \"type\" is \"image_url\", "
       "but must be \"text\": only text is learned"},
      {"a.jsonl", messages(hi + ", {\"role\": \"assistant\", \"content\": \" \\n\"}"),
       "FormatError: D/a.jsonl, line 1, message 1 of \"messages\": \"content\" is \" \\x0a\", but must be text that is "
       "not blank"},
      {"a.jsonl", messages(hi + ", {\"role\": \"assistant\", \"content\": 4}"),
       "FormatError: D/a.jsonl, line 1, message 1 of \"messages\": \"content\" is 4, but must be a text or a list of "
       "parts"},
      {"a.jsonl", messages(hi + ", {\"role\": \"assistant\", \"content\": \"x\", \"weight\": 0}"),
       "FormatError: D/a.jsonl, line 1, message 1 of \"messages\": \"weight\" is 0, but must be 1: all messages of an "
       "assistant are learned; keep prompt and completion apart"},
      {"a.jsonl", messages(hi),
       "FormatError: D/a.jsonl, line 1: the assistant says nothing in it, so that nothing can be learned; remove it"},
      {"a.jsonl", messages(hi + ", " + yes + ", {\"role\": \"system\", \"content\": \"x\"}"),
       "FormatError: D/a.jsonl, line 1: message 2 is a system message; only the first may be"},
      {"a.jsonl", "{\"messages\": \"Hi\"}",
       "FormatError: D/a.jsonl, line 1: \"messages\" is \"Hi\", but must be a list of messages"},
      {"a.jsonl", "{\"instruction\": \"Say\", \"output\": \"x\", \"history\": [[\"a\", \"b\"]]}",
       "FormatError: D/a.jsonl, line 1: \"history\" is an array of 1, but must be empty; write the conversation as "
       "messages"},
      {"a.jsonl", "{\"prompt\": \"Hi\", \"completion\": [" + yes + "]}",
       "FormatError: D/a.jsonl, line 1: \"completion\" is an array of 1, but must be what \"prompt\" is: both are "
       "texts "
       "or both are lists of messages"},
      {"a.jsonl", "{\"prompt\": [" + hi + "], \"completion\": [" + hi + "]}",
       "FormatError: D/a.jsonl, line 1: \"completion\" must begin with a message of the assistant's, not the user's"},
      {"a.jsonl", "{\"prompt\": \"Hi\", \"chosen\": \"x\", \"rejected\": \"x\"}",
       "FormatError: D/a.jsonl, line 1: \"chosen\" and \"rejected\" are equal; nothing can be learned of that"},
      {"a.jsonl", "{\"chosen\": \"x\", \"rejected\": \"y\"}",
       "FormatError: D/a.jsonl, line 1: \"prompt\" is missing, but must be there: answers that are texts do not tell "
       "what it was"},
      {"a.jsonl", "{\"chosen\": [" + hi + ", " + yes + "], \"rejected\": [" + hi + ", " + yes + "]}",
       "FormatError: D/a.jsonl, line 1: \"chosen\" and \"rejected\" have no answers that differ; both must be the same "
       "conversation up to the assistant's last messages"},
      {"a.jsonl", "{\"text\": \" \\u3000\"}",
       "FormatError: D/a.jsonl, line 1: \"text\" is \" \u3000\", but must be a text that is not blank"},
      {"a.txt", "a\xff", "FormatError: D/a.txt, byte 1: not UTF-8; convert the file to UTF-8"},
      {"a.jsonl", "{\"text\": \"a\xff\"}",
       "FormatError: D/a.jsonl, line 1, byte 11: not UTF-8; convert the file to "
       "UTF-8"},
  };
  for (const BadFile& file : files) {
    const TemporaryDirectory directory;
    std::ofstream(directory / file.name) << file.content;
    const std::string text =
        replaced(error_message([&] { read_conversations(directory / file.name); }), directory.path().string(), "D");
    EXPECT_TRUE(text.starts_with(file.error)) << text << "\n" << file.error;
    EXPECT_TRUE(text.size() == file.error.size() || file.content.ends_with("[")) << text;
  }
  EXPECT_TRUE(error_message([] { read_conversations("/nowhere/a.jsonl"); }).starts_with("FileError: "));
  EXPECT_TRUE(error_message([] {
                read_as("a.jsonl", R"({"text": "long"})", {.row_bytes = 4});
              }).ends_with("line 1: longer than the limit of 4 bytes"));
}

}  // namespace
}  // namespace graft
