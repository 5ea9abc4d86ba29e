#include "graft/generation/preference_examples.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "graft/training/sampler.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

static_assert(DataSource<const PreferenceExamples>);

Preference pair(const std::string& question, const std::string& chosen, const std::string& rejected) {
  return {{{ChatRole::user, {{question}}}}, {{ChatRole::assistant, {{chosen}}}}, {{ChatRole::assistant, {{rejected}}}}};
}

struct PreferenceTest : testing::Test {
  Tokenizer tokenizer = Tokenizer::load(GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ChatFormat format = ChatFormat::of_family("chatml");

  std::string text(const torch::Tensor& ids) const {
    std::vector<std::int32_t> kept;
    for (std::int64_t i = 0; i < ids.size(0); ++i)
      if (const auto id = ids[i].item<std::int64_t>(); id >= 0) kept.push_back(static_cast<std::int32_t>(id));
    return tokenizer.decode(kept, false);
  }
};

TEST_F(PreferenceTest, BatchHoldsAllChosenThenAllRejected) {
  const std::vector<Preference> rows{pair("Hi", "Yes?", "Go away, you."), pair("What is apt?", "A tool.", "No idea")};
  const PreferenceExamples data(rows, format, tokenizer);
  ASSERT_EQ(data.size(), 2);
  EXPECT_EQ(data.length(1), data.chosen().length(1) + data.rejected().length(1));
  const std::vector<std::int64_t> order{1, 0};
  const PreferenceExamples::Batch batch = data.batch(order);
  ASSERT_EQ(batch.tokens.sequences(), 4);
  EXPECT_EQ(batch.tokens.tokens(), data.length(0) + data.length(1));
  EXPECT_EQ(batch.labels.sizes(), batch.tokens.ids.sizes());
  const auto part = [&](const torch::Tensor& of, std::int64_t n) {
    return text(
        of.slice(0, batch.tokens.offsets[n].item<std::int64_t>(), batch.tokens.offsets[n + 1].item<std::int64_t>()));
  };
  const std::string asked = "<|im_start|>user\nWhat is apt?<|im_end|>\n<|im_start|>assistant\n",
                    greeted = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
  const std::vector<std::string> prompts{asked, greeted, asked, greeted},
      answers{"A tool.<|im_end|>\n", "Yes?<|im_end|>\n", "No idea<|im_end|>\n", "Go away, you.<|im_end|>\n"};
  for (std::int64_t n = 0; n < 4; ++n) {
    EXPECT_EQ(part(batch.tokens.ids, n), prompts[static_cast<std::size_t>(n)] + answers[static_cast<std::size_t>(n)]);
    EXPECT_EQ(part(batch.labels, n), answers[static_cast<std::size_t>(n)]);
  }
  EXPECT_TRUE(batch.labels.eq(-100).logical_or(batch.labels.eq(batch.tokens.ids)).all().item<bool>());
}

TEST_F(PreferenceTest, PromptEndsWhereEitherAnswerLeavesIt) {
  // "\n\n" is one token: the line end behind "assistant" becomes part of an answer that begins with two.
  const std::vector<Preference> rows{pair("Hi", "\n\nYes", "No")};
  const PreferenceExamples data(rows, format, tokenizer);
  const auto prompt = [](const std::vector<std::int64_t>& labels) {
    return std::find_if(labels.begin(), labels.end(), [](auto label) { return label != -100; }) - labels.begin();
  };
  EXPECT_EQ(prompt(data.chosen().labels(0)), prompt(data.rejected().labels(0)));
  const std::vector<ChatMessage> question{{ChatRole::user, {{"Hi"}}}};
  EXPECT_EQ(prompt(data.chosen().labels(0)), static_cast<std::int64_t>(format.encode(tokenizer, question).size()) - 1);
}

TEST_F(PreferenceTest, PairsThatTeachNothingAreLeftOut) {
  const std::vector<Preference> rows{pair("Hi", "a b c d e f g", "a b c d e f h"), pair("Hi", "Yes", "No"),
                                     pair("a b c d e f g h i j k l m", "Yes", "No")};
  const auto limit = static_cast<std::size_t>(PreferenceExamples(rows, format, tokenizer).chosen().length(1));
  const PreferenceExamples data(rows, format, tokenizer, {.max_tokens = limit});
  EXPECT_EQ(data.size(), 1);
  EXPECT_EQ(data.chosen().source(0), 1u);
  EXPECT_EQ(data.cut(), 2);
  EXPECT_EQ(data.dropped(), 2);
  EXPECT_EQ(error_message([&] { PreferenceExamples(rows, format, tokenizer, {.max_tokens = 2}); }),
            "OptionError: nothing is learned of any of 3 preferences: their answers do not differ within 2 tokens; "
            "allow more");
  EXPECT_EQ(error_message([&] { PreferenceExamples({}, format, tokenizer); }),
            "OptionError: there is no preference to learn from; give at least one");
}

TEST_F(PreferenceTest, GoWithoutAFormatAsTheyStand) {
  const std::vector<Preference> rows{pair("The sky is", " blue", " green")};
  const PreferenceExamples data(rows, std::nullopt, tokenizer, {.end = 0});
  EXPECT_EQ(tokenizer.decode(data.chosen().ids(0), false), "The sky is blue<|endoftext|>");
  EXPECT_EQ(tokenizer.decode(data.rejected().ids(0), false), "The sky is green<|endoftext|>");
  EXPECT_EQ(learned_count(data.rejected().labels(0)), 2);
}

}  // namespace
}  // namespace graft
