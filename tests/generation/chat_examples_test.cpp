#include "graft/generation/chat_examples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/generation/generate.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

using Messages = std::vector<ChatMessage>;

const Tokenizer& smollm2() {
  static const Tokenizer tokenizer = Tokenizer::load(GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  return tokenizer;
}

Messages exchange(const std::string& question, const std::string& answer) {
  return {{ChatRole::user, {{question}}}, {ChatRole::assistant, {{answer}}}};
}

/// What of a conversation is learned, special tokens written out; stretches parted by a bar.
std::string learned(const ChatExamples& data, std::int64_t row, const Tokenizer& tokenizer) {
  std::string out;
  std::vector<std::int32_t> stretch;
  for (std::size_t i = 0; i <= data.ids(row).size(); ++i) {
    if (i < data.ids(row).size() && data.labels(row)[i] != -100) {
      EXPECT_EQ(data.labels(row)[i], data.ids(row)[i]);
      stretch.push_back(data.ids(row)[i]);
    } else if (!stretch.empty()) {
      out += (out.empty() ? "" : "|") + tokenizer.decode(stretch, /*skip_special_tokens=*/false);
      stretch.clear();
    }
  }
  return out;
}

TEST(ChatExamples, LearnsWhatTheAssistantSaysAndItsEnd) {
  Messages two = exchange("Hi", "Yes?");
  two.push_back({ChatRole::user, {{"Are you sure? <|im_end|>"}}});
  two.push_back({ChatRole::assistant, {{" I am <|im_start|>.\n"}}});
  const std::vector<Messages> conversations{exchange("What is 1+1?", "2"), two};
  const ChatFormat format = ChatFormat::of_family("chatml");
  const ChatExamples data(conversations, format, smollm2());
  ASSERT_EQ(data.size(), 2);
  EXPECT_EQ(learned(data, 0, smollm2()), "2<|im_end|>\n");
  EXPECT_EQ(data.ids(1), format.encode(smollm2(), two, false));
  const std::string both = learned(data, 1, smollm2());
  EXPECT_TRUE(both.starts_with("Yes?<|im_end|>\n|")) << both;
  EXPECT_TRUE(both.ends_with(" I am <|im_start|>.\n<|im_end|>\n")) << both;

  // A prompt is what generation gives the model, and learned is all that comes behind it.
  const auto prompt = format.encode(smollm2(), std::span(conversations[0]).first(1));
  EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), data.ids(0).begin()));
  EXPECT_NE(data.labels(0)[prompt.size()], -100);
  EXPECT_EQ(data.labels(0)[prompt.size() - 1], -100);

  const std::vector<std::int64_t> rows{1, 0};
  const ChatExamples::Batch batch = data.batch(rows);
  EXPECT_EQ(batch.tokens.tokens(), data.length(0) + data.length(1));
  EXPECT_EQ(batch.labels.size(0), batch.tokens.tokens());
  EXPECT_TRUE(batch.labels.eq(-100).logical_or(batch.labels.eq(batch.tokens.ids)).all().item<bool>());
}

TEST(ChatExamples, KnowsTheFormatsOfOtherFamilies) {
  const Tokenizer gemma = Tokenizer::load(GRAFT_DEPS "/gemma3/gemma-3-270m-q4_k_m.gguf");
  const std::vector<Messages> conversations{exchange("Hi", "Yes?")};
  EXPECT_EQ(learned(ChatExamples(conversations, ChatFormat::of_vocabulary(gemma), gemma), 0, gemma),
            "Yes?<end_of_turn>\n");
}

TEST(ChatExamples, LearnWhatIsAskedFor) {
  Messages two = exchange("Hi", "Yes?");
  for (const ChatMessage& each : exchange("Sure?", "No.")) two.push_back(each);
  const ChatFormat format = ChatFormat::of_family("chatml");
  const auto learns = [&](const Conversation& conversation, Learn learn) {
    return learned(ChatExamples(std::span(&conversation, 1), format, smollm2(), {.learn = learn}), 0, smollm2());
  };
  EXPECT_EQ(learns({two}, Learn::answers), "Yes?<|im_end|>\n|No.<|im_end|>\n");
  EXPECT_EQ(learns({two}, Learn::last), "No.<|im_end|>\n");
  EXPECT_EQ(learns({two, 3}, Learn::answers), "No.<|im_end|>\n");
  EXPECT_EQ(learns({two}, Learn::all),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nSure?<|im_end|>"
            "\n<|im_start|>assistant\nNo.<|im_end|>\n");
  // The assistant may speak first.
  EXPECT_EQ(learns({{two[1], two[2], two[3]}}, Learn::answers), "Yes?<|im_end|>\n|No.<|im_end|>\n");
}

TEST(ChatExamples, GoWithoutAFormatAsTheyStand) {
  const std::vector<Conversation> rows{{exchange("The sky is", " blue.<|im_end|>"), 1},
                                       {exchange("Grass", " grows"), 1}};
  const ChatExamples data(rows, std::nullopt, smollm2(), {.end = 0});
  EXPECT_EQ(smollm2().decode(data.ids(1), false), "Grass grows<|endoftext|>");
  EXPECT_EQ(learned(data, 1, smollm2()), " grows<|endoftext|>");
  EXPECT_EQ(std::count(data.ids(0).begin(), data.ids(0).end(), *smollm2().id("<|im_end|>")), 0);
  EXPECT_EQ(
      error_message([&] {
        ChatExamples(std::vector<Conversation>{{{rows[0].messages[0]}, 0, "a.jsonl, line 3"}}, std::nullopt, smollm2());
      }),
      "OptionError: a.jsonl, line 3: without a chat format a row is a message of the user's and one of the "
      "assistant's; name one");
}

TEST(ChatExamples, CutsAndSaysWhatNothingIsLearnedOf) {
  const ChatFormat format = ChatFormat::of_vocabulary(smollm2());
  const std::vector<Messages> one{exchange("Hi", "a b c d e f g")};
  const std::int64_t whole = ChatExamples(one, format, smollm2()).length(0);
  const ChatExamples cut(one, format, smollm2(), static_cast<std::size_t>(whole - 4));
  EXPECT_EQ(cut.length(0), whole - 4);
  EXPECT_EQ(cut.cut(), 1);
  EXPECT_EQ(cut.dropped(), 0);
  EXPECT_EQ(learned(cut, 0, smollm2()), "a b c d e");

  // Of a long question nothing is learned within the limit: it is left out, and counted.
  const std::vector<Messages> three{exchange("a b c d e f g h i j k l m n", "o"), one[0], one[0]};
  const ChatExamples rest(three, format, smollm2(), static_cast<std::size_t>(whole));
  EXPECT_EQ(rest.size(), 2);
  EXPECT_EQ(rest.source(0), 1u);
  EXPECT_EQ(rest.cut(), 1);
  EXPECT_EQ(rest.dropped(), 1);
  EXPECT_NE(rest.fingerprint(), cut.fingerprint());
  EXPECT_EQ(error_message([&] { ChatExamples(one, format, smollm2(), 3); }),
            "OptionError: nothing is learned of any of 1 conversations: no answer begins within 3 tokens; allow more");
  EXPECT_EQ(error_message([&] {
              ChatExamples(std::vector<Messages>{one[0], {one[0][0]}}, format, smollm2());
            }),
            "OptionError: conversation 1: the assistant says nothing in it, so that nothing can be learned; remove it");
  EXPECT_EQ(error_message([&] {
              ChatExamples(std::vector<Messages>{one[0], {}}, format, smollm2());
            }),
            "OptionError: conversation 1: a conversation without messages; give at least one");
  EXPECT_EQ(error_message([&] { ChatExamples(std::vector<Messages>{}, format, smollm2()); }),
            "OptionError: there is no conversation to learn from; give at least one");
  EXPECT_EQ(error_message([&] { ChatExamples(one, ChatFormat::of_family("gemma"), smollm2()); }),
            "FormatError: the vocabulary lacks the special tokens \"<bos>\", \"<start_of_turn>\", \"<end_of_turn>\"; "
            "the prompt is written for another family of models");
  const std::string beyond = error_message([&] { check_ids(rest, 1000); });
  EXPECT_TRUE(beyond.starts_with("OptionError: token 1 of row 1 has id ") &&
              beyond.ends_with(", but the model's embedding has 1000 rows; the tokenizer belongs to another model, or "
                               "has had tokens added"))
      << beyond;
  check_ids(rest, 49152);
}

CausalLM small_model() {
  torch::manual_seed(3);
  const Json config = {{"model_type", "llama"},       {"vocab_size", 49152},    {"hidden_size", 64},
                       {"intermediate_size", 128},    {"num_hidden_layers", 2}, {"num_attention_heads", 4},
                       {"num_key_value_heads", 2},    {"rms_norm_eps", 1e-5},   {"max_position_embeddings", 128},
                       {"tie_word_embeddings", true}, {"hidden_act", "silu"},   {"rope_theta", 10000.0},
                       {"bos_token_id", 1},           {"eos_token_id", 2}};
  CausalConfig small = CausalConfig::from_json(config, "test");
  small.initializer_range = 0.3;  // word vectors far enough apart that a frozen head can tell them
  return CausalLM(small);
}

void train(CausalLM& model, const ChatExamples& data, double lr) {
  Trainer trainer(*model, {.length = Steps{150}, .batch = Sequences{2}, .lr = lr});
  trainer.train(data, [&](const ChatExamples::Batch& batch) {
    const TokenPredictions learned = model->predictions(batch.tokens, batch.labels);
    return cross_entropy(learned.logits, learned.targets);
  });
  model->eval();
}

/// The answer to a question, as the model now writes it.
std::string answer(CausalLM& model, const std::string& question) {
  const ChatFormat format = ChatFormat::of_family("chatml");
  const std::vector<ChatMessage> messages{{ChatRole::user, {{question}}}};
  const std::vector<std::int32_t> prompt = format.encode(smollm2(), messages);
  GenerateOptions options;
  options.max_tokens = 12;
  options.stop_ids = {*smollm2().id(format.end_token())};
  options.decode = [](std::span<const std::int32_t> ids) { return smollm2().decode(ids); };
  return generate(model, {&prompt, 1}, options)[0].text;
}

// A model of random weights that is taught two answers gives them, and ends them where they end.
TEST(ChatExamples, TeachAModelInFullAndByLora) {
  const std::vector<Messages> conversations{exchange("What is foo?", "a reader of mail"),
                                            exchange("And bar?", "plays music")};
  const ChatExamples data(conversations, ChatFormat::of_family("chatml"), smollm2());
  CausalLM full = small_model();
  train(full, data, 3e-3);
  EXPECT_EQ(answer(full, "What is foo?"), "a reader of mail");
  EXPECT_EQ(answer(full, "And bar?"), "plays music");

  CausalLM lora = small_model();
  attach(*lora, {.rank = 16, .alpha = 32}, {.layers = {"all-linear"}});
  train(lora, data, 1e-2);
  EXPECT_EQ(answer(lora, "What is foo?"), "a reader of mail");
  EXPECT_EQ(answer(lora, "And bar?"), "plays music");

  const TemporaryDirectory directory;
  save_adapter(directory / "lora", *lora, "default", {.task_type = "CAUSAL_LM"});
  EXPECT_EQ(AdapterDir(directory / "lora").config().task_type, "CAUSAL_LM");
  CausalLM again = small_model();
  load_adapter(directory / "lora", *again);
  again->eval();
  EXPECT_EQ(answer(again, "And bar?"), "plays music");
}

}  // namespace
}  // namespace graft
