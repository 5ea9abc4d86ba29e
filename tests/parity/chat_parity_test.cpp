// Conversations as models' own templates write them, and what TRL's trainers make of rows to learn from.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/generation/chat_examples.hpp"
#include "graft/generation/conversations.hpp"
#include "graft/generation/preference_examples.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/load.hpp"
#include "graft/training/loss.hpp"
#include "support/python.hpp"

namespace graft {
namespace {

/// The folder that a script of tests/reference has filled for this program.
std::filesystem::path made_by(const std::string& script, const std::string& folder) {
  const std::filesystem::path out = std::filesystem::path(GRAFT_REFERENCE) / folder;
  run_python(script, {GRAFT_DEPS, out.string()});
  return out;
}

std::vector<ChatMessage> messages_of(const Json& rows) {
  std::vector<ChatMessage> messages;
  for (const Json& each : rows) {
    const auto role = each["role"] == "system"      ? ChatRole::system
                      : each["role"] == "assistant" ? ChatRole::assistant
                                                    : ChatRole::user;
    messages.push_back({role, {{each["content"].get<std::string>()}}});
  }
  return messages;
}

class ChatTemplates : public testing::TestWithParam<std::string> {};

TEST_P(ChatTemplates, WriteWhatTheFormatWrites) {
  static const std::filesystem::path folder = made_by("chat_templates.py", "chat_templates");
  const Json rows = read_json(folder / (GetParam() + ".json"));
  ASSERT_EQ(rows.size(), 300u);
  const ChatFormat format = ChatFormat::of_family(GetParam());
  int answers = 0;
  for (const Json& row : rows) {
    std::string text;
    for (const PromptPart& part : format.parts(messages_of(row["messages"]), row["answer"].get<bool>()))
      text += part.text;
    ASSERT_EQ(Json(text).dump(), row["text"].dump()) << row["messages"].dump();
    answers += row["answer"].get<bool>() ? 1 : 0;
  }
  EXPECT_GT(answers, 100);
  EXPECT_LT(answers, 200);
}

INSTANTIATE_TEST_SUITE_P(Families, ChatTemplates,
                         testing::Values("chatml", "smollm2", "qwen2", "qwen2.5", "llama2", "llama3", "llama3.1",
                                         "gemma"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

struct SftCase {
  std::string folder, format;  // no format: texts as they stand
  std::size_t max_tokens = SIZE_MAX;
};

void PrintTo(const SftCase& given, std::ostream* out) { *out << given.folder; }

const std::filesystem::path& trl_data() {
  static const std::filesystem::path folder = made_by("trl_data.py", "trl_data");
  return folder;
}

class SftParity : public testing::TestWithParam<SftCase> {};

TEST_P(SftParity, IdsLabelsAndLossesAreTrls) {
  const SftCase& given = GetParam();
  const std::filesystem::path folder = trl_data() / given.folder;
  const Tokenizer tokenizer = Tokenizer::load(folder / "tokenizer.json");
  const ConversationFile file = read_conversations(folder / "data.jsonl");
  ASSERT_EQ(file.conversations.size(), 500u);
  const auto format = given.format.empty() ? std::optional<ChatFormat>() : ChatFormat::of_family(given.format);
  const ChatExamples data(file.conversations, format, tokenizer,
                          {.max_tokens = given.max_tokens, .end = tokenizer.id("<|im_end|>")});
  const Json expected = read_json(folder / "expected.json");
  ASSERT_EQ(data.size(), static_cast<std::int64_t>(expected.size()));
  EXPECT_EQ(data.dropped(), 500 - data.size());
  EXPECT_EQ(data.dropped() > 0, given.folder == "cut");
  for (std::int64_t row = 0; row < data.size(); ++row) {
    const Json& wanted = expected[static_cast<std::size_t>(row)];
    const std::string where = file.conversations[data.source(row)].where;
    ASSERT_EQ(data.ids(row), wanted["ids"].get<std::vector<std::int32_t>>()) << where;
    ASSERT_EQ(data.labels(row), wanted["labels"].get<std::vector<std::int64_t>>()) << where;
  }
  CausalLM model = load_pretrained<CausalLM>(folder / "model").model;
  const torch::NoGradGuard no_grad;
  std::int64_t row = 0;
  for (const Json& loss : read_json(folder / "losses.json")) {
    const auto [tokens, labels] = data.batch(std::vector{row, row + 1, row + 2, row + 3});
    const auto predicted = model->log_probabilities(tokens, labels);
    EXPECT_NEAR(negative_log_likelihood(predicted.values).mean().item<double>(), loss.get<double>(), 1e-5) << row;
    row += 4;
  }
  EXPECT_EQ(row, 32);
}

INSTANTIATE_TEST_SUITE_P(Trl, SftParity,
                         testing::Values(SftCase{"prompts", "smollm2"}, SftCase{"cut", "smollm2", 40},
                                         SftCase{"texts", ""}, SftCase{"llama3", "llama3"}, SftCase{"gemma", "gemma"},
                                         SftCase{"demo", "smollm2"}),
                         [](const auto& info) { return info.param.folder; });

TEST(DpoParity, PromptsAndAnswersAreTrls) {
  const std::filesystem::path folder = trl_data() / "preferences";
  const Tokenizer tokenizer = Tokenizer::load(folder / "tokenizer.json");
  const ConversationFile file = read_conversations(folder / "data.jsonl");
  const PreferenceExamples data(file.preferences, ChatFormat::of_family("smollm2"), tokenizer);
  const Json expected = read_json(folder / "expected.json");
  ASSERT_EQ(data.size(), 500);
  ASSERT_EQ(expected.size(), 500u);
  for (std::int64_t row = 0; row < data.size(); ++row) {
    const Json& wanted = expected[static_cast<std::size_t>(row)];
    for (const auto& [side, name] : {std::pair(&data.chosen(), "chosen"), std::pair(&data.rejected(), "rejected")}) {
      auto ids = wanted["prompt"].get<std::vector<std::int32_t>>();
      std::vector<std::int64_t> labels(ids.size(), not_learned);
      for (const Json& id : wanted[name]) {
        ids.push_back(id.get<std::int32_t>());
        labels.push_back(ids.back());
      }
      ASSERT_EQ(side->ids(row), ids) << file.preferences[static_cast<std::size_t>(row)].where << ' ' << name;
      ASSERT_EQ(side->labels(row), labels) << file.preferences[static_cast<std::size_t>(row)].where << ' ' << name;
    }
  }
}

}  // namespace
}  // namespace graft
