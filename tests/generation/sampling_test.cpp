#include "graft/generation/sampling.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "graft/io/safetensors.hpp"
#include "support/error_message.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

constexpr float never = -std::numeric_limits<float>::infinity();

/// What sampling.py made with transformers' processors.
class AgainstTransformers : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const TemporaryDirectory directory;
    run_python("sampling.py", {(directory / "sampling.safetensors").string()});
    const SafetensorsFile file(directory / "sampling.safetensors");
    for (const TensorInfo& info : file.tensors()) {
      std::vector<float>& values = tensors_[info.name];
      values.resize(info.bytes() / sizeof(float));
      file.read(info, std::as_writable_bytes(std::span(values)));
    }
  }

  static constexpr std::size_t rows = 6, vocabulary = 200;
  static std::span<float> row(const std::string& name, std::size_t i) {
    return std::span(tensors_.at(name)).subspan(i * vocabulary, vocabulary);
  }
  static std::vector<float> logits(std::size_t i) { return {row("logits", i).begin(), row("logits", i).end()}; }
  static std::span<const std::int32_t> text(std::size_t i) {
    return {reinterpret_cast<const std::int32_t*>(tensors_.at("text").data()) + i * 30, 30};
  }

  static inline std::map<std::string, std::vector<float>> tensors_;
};

TEST_F(AgainstTransformers, EachFilterKeepsTheSameTokens) {
  const std::map<std::string, std::function<void(std::span<float>)>> filters{
      {"top_k", [](std::span<float> logits) { keep_top_k(logits, 12); }},
      {"top_p", [](std::span<float> logits) { keep_top_p(logits, 0.8); }},
      {"min_p", [](std::span<float> logits) { keep_min_p(logits, 0.05); }}};
  for (const auto& [name, filter] : filters) {
    for (std::size_t i = 0; i < rows; ++i) {
      std::vector<float> ours = logits(i);
      filter(ours);
      EXPECT_EQ(ours, std::vector<float>(row(name, i).begin(), row(name, i).end())) << name << ", row " << i;
    }
  }
}

TEST_F(AgainstTransformers, TheRepetitionPenaltyIsTheSame) {
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<float> ours = logits(i);
    penalise_repetition(ours, text(i), 1.3);
    EXPECT_EQ(ours, std::vector<float>(row("penalty", i).begin(), row("penalty", i).end())) << "row " << i;
  }
}

TEST_F(AgainstTransformers, ChancesAreTheSame) {
  const SamplingOptions all{.temperature = 0.7, .top_k = 12, .top_p = 0.8, .min_p = 0.05, .repetition_penalty = 1.3};
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<float> first = logits(i), second = logits(i);
    const std::vector<double> ours = chances(first, text(i), all);
    const std::vector<double> ours_of_all = chances(second, text(i), {.temperature = 0.7});
    for (std::size_t token = 0; token < vocabulary; ++token) {
      // float32 sums over 200 tokens there, float64 here.
      EXPECT_NEAR(ours[token], row("chances", i)[token], 1e-6);
      EXPECT_NEAR(ours_of_all[token], row("chances_of_all", i)[token], 1e-6);
    }
  }
}

TEST(TokenSampler, TakesTheLikeliestAtTemperatureZero) {
  std::vector<float> logits{0.5F, 3.0F, never, 3.0F};
  EXPECT_EQ(TokenSampler({}).choose(logits, {}), 1);
  const std::int32_t seen[] = {1, 1};
  EXPECT_EQ(TokenSampler({.repetition_penalty = 2.0}).choose(logits, seen), 3);
}

TEST(TokenSampler, DrawsTokensAsOftenAsTheirChancesSay) {
  const std::vector<float> logits{std::log(0.5F), std::log(0.3F), never, std::log(0.2F)};
  TokenSampler sampler({.temperature = 1.0, .seed = 3});
  std::vector<int> counts(4);
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    std::vector<float> fresh = logits;
    ++counts[static_cast<std::size_t>(sampler.choose(fresh, {}))];
  }
  // Four standard deviations of a count; the seed is fixed.
  EXPECT_NEAR(counts[0], 0.5 * draws, 4 * std::sqrt(draws * 0.5 * 0.5));
  EXPECT_NEAR(counts[1], 0.3 * draws, 4 * std::sqrt(draws * 0.3 * 0.7));
  EXPECT_EQ(counts[2], 0);
}

TEST(TokenSampler, RepeatsItselfForASeedAndDiffersBetweenStreams) {
  const auto draw = [](std::uint64_t seed, std::uint64_t stream) {
    TokenSampler sampler({.temperature = 1.0, .seed = seed}, stream);
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 30; ++i) {
      std::vector<float> logits(50);
      ids.push_back(sampler.choose(logits, {}));
    }
    return ids;
  };
  EXPECT_EQ(draw(1, 0), draw(1, 0));
  EXPECT_NE(draw(1, 0), draw(2, 0));
  EXPECT_NE(draw(1, 0), draw(1, 1));
}

TEST(TokenSampler, ATinyTemperatureTakesTheLikeliest) {
  std::vector<float> logits{80.0F, 90.0F, 89.9F};
  EXPECT_EQ(TokenSampler({.temperature = 1e-9}).choose(logits, {}), 1);
}

TEST(Sampling, FiltersAlwaysLeaveOneToken) {
  std::vector<float> one{never, 1.0F}, equal(3, 2.0F);
  keep_top_p(one, 1e-9);
  keep_min_p(one, 1.0);
  EXPECT_EQ(one, (std::vector<float>{never, 1.0F}));
  keep_top_k(equal, 1);  // all tie with the first
  EXPECT_EQ(equal, (std::vector<float>{2.0F, 2.0F, 2.0F}));
  keep_top_p(equal, 0.3);
  EXPECT_EQ(equal, (std::vector<float>{2.0F, never, never}));
}

TEST(Sampling, NamesEveryFaultAtOnce) {
  const std::string all = error_message(
      [] { TokenSampler({.temperature = -1.0, .top_k = -2, .top_p = 0.0, .min_p = 2.0, .repetition_penalty = 0.0}); });
  EXPECT_EQ(
      all,
      "OptionError: temperature is -1, choose a finite number of 0 or more; top_k is -2, choose 0 for all, or "
      "more; top_p is 0, choose above 0 to 1; min_p is 2, choose 0 to 1; repetition_penalty is 0, choose a finite "
      "number above 0");
  std::vector<float> broken{1.0F, std::nanf("")}, nothing{never};
  EXPECT_EQ(error_message([&] { TokenSampler({}).choose(broken, {}); }),
            "OptionError: logit of token 1 is nan; the model's weights or input are broken");
  EXPECT_EQ(error_message([&] { TokenSampler({}).choose(nothing, {}); }),
            "OptionError: none of 1 tokens may be chosen; their logits are not finite");
  const std::int32_t far[] = {7};
  std::vector<float> two{1.0F, 2.0F};
  EXPECT_EQ(error_message([&] { TokenSampler({.repetition_penalty = 2.0}).choose(two, far); }),
            "OptionError: the text has token 7 of a vocabulary of 2");
}

}  // namespace
}  // namespace graft
