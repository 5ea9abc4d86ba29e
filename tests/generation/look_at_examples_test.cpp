#include "graft/generation/look_at_examples.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "graft/generation/chat_examples.hpp"
#include "graft/generation/conversations.hpp"
#include "graft/generation/text_examples.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

struct LookAtExamples : testing::Test {
  Tokenizer tokenizer = Tokenizer::load(GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ChatFormat format = ChatFormat::of_family("chatml");
  std::optional<std::int32_t> end = tokenizer.id(format.end_token());

  static Conversation exchange(const std::string& question, const std::string& answer) {
    return {{{ChatRole::user, {{question}}}, {ChatRole::assistant, {{answer}}}}};
  }
};

TEST_F(LookAtExamples, CountsAndDrawsLengths) {
  const std::vector<Conversation> rows{exchange("Hi", "Yes?"), exchange("a b c d e f g h i j k l", "m"),
                                       exchange("Hi", "No.")};
  const ChatExamples data(rows, format, tokenizer);
  const ExampleFindings found = look_at_examples(data, tokenizer, end);
  EXPECT_EQ(found.lengths, (std::vector<std::int64_t>{data.length(0), data.length(1), data.length(2)}));
  EXPECT_EQ(found.tokens, data.length(0) + data.length(1) + data.length(2));
  EXPECT_EQ(found.learned, 4 + 3 + 4);
  EXPECT_EQ(found.warnings, std::vector<std::string>());
  EXPECT_EQ(found.text(),
            "3 sequences, 52 tokens, of which 11 (21.2 %) are learned\n"
            "length in tokens: 14 to 24, median 14\n"
            "          1-16           2  ########################################\n"
            "         17-32           1  ####################\n");
  EXPECT_EQ(length_histogram(std::vector<std::int64_t>{40, 200, 1}, 4),
            "          1-16           1  ####\n"
            "         17-32           0  \n"
            "         33-64           1  ####\n"
            "        65-128           0  \n"
            "       129-256           1  ####\n");
  EXPECT_EQ(length_histogram(std::vector<std::int64_t>{}), "");
}

TEST_F(LookAtExamples, ShowsWhatTheModelSeesAndLearns) {
  const std::vector<Conversation> rows{exchange("Hi\x1b[2J\u009b", "Yes, naïve?")};
  const ChatExamples data(rows, format, tokenizer);
  EXPECT_EQ(marked_example(data, 0, tokenizer),
            "<|im_start|>user\nHi\\x1b[2J\\x9b<|im_end|>\n<|im_start|>assistant\n«Yes, naïve?<|im_end|>\n»");
  EXPECT_EQ(marked_example(data, 0, tokenizer, {.begin = "[", .end = "]", .tokens = 3}),
            "<|im_start|>user\n ... and " + std::to_string(data.length(0) - 3) + " tokens more");
}

TEST_F(LookAtExamples, WarnsOfWhatGoesWrongMost) {
  const std::vector<Conversation> rows{exchange("Hi", "Yes?"), exchange("Hi", "a b c d e f g h")};
  const ChatExamples cut(rows, format, tokenizer, {.max_tokens = 15});
  ExampleFindings found = look_at_examples(cut, tokenizer, end);
  EXPECT_EQ(found.cut, 1);
  EXPECT_EQ(found.warnings,
            std::vector<std::string>{"the end token <|im_end|> is not learned in 1 of 2 sequences (50.0 %)"});
  EXPECT_NE(found.text().find("1 were longer than the limit and are cut\nwarning: the end token"), std::string::npos);

  const std::vector<Conversation> plain{{exchange("Hi", " Yes?").messages, 1}};
  found = look_at_examples(ChatExamples(plain, std::nullopt, tokenizer), tokenizer, std::nullopt);
  EXPECT_EQ(found.warnings,
            (std::vector<std::string>{
                "no token ends an answer: the model will not learn to stop",
                "the vocabulary has the marks of the chat format chatml, but no sequence has them: in a conversation "
                "the model may not use what it learns here"}));

  std::vector<Conversation> long_question{exchange(std::string(2000, '?'), "!")};
  for (int i = 0; i < 400; ++i) long_question[0].messages[0].pieces[0].text += " why";
  found = look_at_examples(ChatExamples(long_question, format, tokenizer), tokenizer, end);
  ASSERT_EQ(found.warnings.size(), 1u);
  EXPECT_TRUE(found.warnings[0].starts_with("only 0.") && found.warnings[0].ends_with(" of the tokens are learned"))
      << found.warnings[0];

  // Of a text's windows only the last holds its end.
  const std::vector<std::string> texts{"a b c d e f g h i j k l"};
  const TextExamples windows(texts, tokenizer, {.max_tokens = 6, .overlap = 2, .end = 0});
  EXPECT_EQ(look_at_examples(windows, tokenizer, 0).warnings.size(), 1u);  // no chat format
}

TEST_F(LookAtExamples, GoFromAFileToTheTerminal) {
  const TemporaryDirectory directory;
  const auto path = directory / "chat.jsonl";
  std::ofstream(path)
      << R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]})";
  std::ostringstream out;
  const ConversationFile file = read_conversations(path);
  const ChatExamples data(file.conversations, format, tokenizer, {.learn = Learn::answers, .max_tokens = 2048});
  const ExampleFindings found = look_at_examples(data, tokenizer, tokenizer.id(format.end_token()));
  out << to_string(file.form) << ", " << file.doubled << " rows stand twice\n" << found.text();
  out << marked_example(data, 0, tokenizer);
  EXPECT_EQ(out.str(),
            "messages (messages: role, content), 0 rows stand twice\n"
            "1 sequences, 14 tokens, of which 4 (28.6 %) are learned\n"
            "length in tokens: 14 to 14, median 14\n"
            "          1-16           1  ########################################\n"
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yes?<|im_end|>\n»");
}

TEST_F(LookAtExamples, LooksAtBothSidesOfPreferences) {
  const std::vector<Preference> rows{
      {{{ChatRole::user, {{"Hi"}}}}, {{ChatRole::assistant, {{"Yes?"}}}}, {{ChatRole::assistant, {{"No."}}}}}};
  const PreferenceExamples data(rows, format, tokenizer);
  const ExampleFindings found = look_at_examples(data, tokenizer, end);
  EXPECT_EQ(found.lengths.size(), 2u);
  EXPECT_EQ(found.tokens, data.length(0));
  EXPECT_EQ(found.learned, 8);
  EXPECT_EQ(found.warnings, std::vector<std::string>());
  EXPECT_EQ(marked_example(data.rejected(), 0, tokenizer),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«No.<|im_end|>\n»");
}

}  // namespace
}  // namespace graft
