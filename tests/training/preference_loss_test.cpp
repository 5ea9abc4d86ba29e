#include "graft/training/preference_loss.hpp"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/init.h>

#include "graft/adapters/attach.hpp"
#include "support/error_message.hpp"

namespace graft::preference_loss_test {
namespace {

using Numbers = std::vector<double>;

/// Two pairs: chosen, chosen, rejected, rejected.
const Numbers policy_sums{-4.0, -9.5, -6.0, -3.25}, reference_sums{-5.0, -9.0, -5.5, -4.0}, counts{3, 7, 5, 2};

SequenceLogProbabilities scores(const Numbers& sums, bool trained = false) {
  return {torch::tensor(sums, torch::kDouble).requires_grad_(trained), torch::tensor(counts, torch::kDouble)};
}

double log_logistic(double x) { return -std::log1p(std::exp(-x)); }

/// The loss of pair p by the papers' formulas, where the policy's sums are `sums`.
double dpo(const Numbers& sums, std::size_t p, double beta, double wrong, bool per_token) {
  const double chosen = sums[p] - reference_sums[p], rejected = sums[p + 2] - reference_sums[p + 2];
  const double d = per_token ? chosen / counts[p] - rejected / counts[p + 2] : chosen - rejected;
  return -(1 - wrong) * log_logistic(beta * d) - wrong * log_logistic(-beta * d);
}
double ipo(const Numbers& sums, std::size_t p, double beta) {
  const double d = (sums[p] - reference_sums[p]) / counts[p] - (sums[p + 2] - reference_sums[p + 2]) / counts[p + 2];
  return std::pow(d - 1 / (2 * beta), 2);
}

/// Value and gradient by the policy's sums are those of `plain`, of both pairs together, by central differences.
void expect_like(const std::function<PreferenceLoss(const SequenceLogProbabilities&)>& loss_of,
                 const std::function<double(const Numbers& sums, std::size_t pair)>& plain) {
  const SequenceLogProbabilities policy = scores(policy_sums, true);
  const PreferenceLoss loss = loss_of(policy);
  const auto both = [&](const Numbers& sums) { return plain(sums, 0) + plain(sums, 1); };
  EXPECT_NEAR(loss.loss.sum.item<double>(), both(policy_sums), 1e-13);
  EXPECT_EQ(double(loss.loss.count), 2);
  const torch::Tensor gradient = torch::autograd::grad({loss.loss.sum}, {policy.sums})[0];
  for (std::size_t i = 0; i < 4; ++i) {
    constexpr double step = 1e-5;
    Numbers above = policy_sums, below = policy_sums;
    above[i] += step;
    below[i] -= step;
    EXPECT_NEAR(gradient[static_cast<std::int64_t>(i)].item<double>(), (both(above) - both(below)) / (2 * step), 1e-8)
        << i;
  }
}

TEST(PreferenceLoss, DpoIsThePapersFormulaWithItsGradient) {
  for (const double wrong : {0.0, 0.2}) {
    const DpoOptions options{.beta = 0.3, .label_smoothing = wrong};
    expect_like([&](const auto& policy) { return dpo_loss(policy, scores(reference_sums), options); },
                [&](const Numbers& sums, std::size_t p) { return dpo(sums, p, 0.3, wrong, false); });
    expect_like([&](const auto& policy) { return length_normalised_dpo_loss(policy, scores(reference_sums), options); },
                [&](const Numbers& sums, std::size_t p) { return dpo(sums, p, 0.3, wrong, true); });
  }
}

TEST(PreferenceLoss, IpoIsThePapersFormulaWithItsGradient) {
  expect_like([](const auto& policy) { return ipo_loss(policy, scores(reference_sums), 0.4); },
              [](const Numbers& sums, std::size_t p) { return ipo(sums, p, 0.4); });
}

TEST(PreferenceLoss, RewardsSayHowPolicyAndReferenceDiffer) {
  const PreferenceLoss loss = dpo_loss(scores(policy_sums, true), scores(reference_sums), {.beta = 0.5});
  EXPECT_TRUE(loss.chosen_rewards.equal(torch::tensor({0.5, -0.25}, torch::kDouble)));
  EXPECT_TRUE(loss.rejected_rewards.equal(torch::tensor({-0.25, 0.375}, torch::kDouble)));
  EXPECT_FALSE(loss.chosen_rewards.requires_grad());
  EXPECT_EQ(loss.accuracy(), 0.5);
  EXPECT_EQ(loss.margin(), (0.75 - 0.625) / 2);
}

TEST(PreferenceLoss, FineTuningIsMixedInByTheMeanOverTokens) {
  const SequenceLogProbabilities policy = scores(policy_sums, true);
  const Loss chosen = chosen_loss(policy);
  EXPECT_EQ(chosen.mean().item<double>(), 13.5 / 10);
  const Loss preference = dpo_loss(policy, scores(reference_sums)).loss, both = mixed(preference, chosen, 0.4);
  EXPECT_EQ(double(both.count), 2);
  EXPECT_NEAR(both.mean().item<double>(), preference.mean().item<double>() + 0.4 * 1.35, 1e-13);
  EXPECT_NEAR(torch::autograd::grad({chosen.mean()}, {policy.sums})[0][1].item<double>(), -0.1, 1e-15);
  EXPECT_TRUE(mixed(preference, chosen, 0).sum.is_same(preference.sum));
}

TEST(PreferenceLoss, SumsOverSequencesKeepGradientsAndEmptyOnes) {
  const torch::Tensor values = torch::tensor({-1.0, -2.0, -4.0}, torch::kDouble).requires_grad_();
  const auto [sums, lengths] = sequence_log_probabilities(values, torch::tensor({0, 2, 2, 3}, torch::kInt64));
  EXPECT_TRUE(sums.equal(torch::tensor({-3.0, 0.0, -4.0}, torch::kDouble)));
  EXPECT_TRUE(lengths.equal(torch::tensor({2.0, 0.0, 1.0}, torch::kDouble)));
  const torch::Tensor weights = torch::tensor({3.0, 5.0, 7.0}, torch::kDouble);
  EXPECT_TRUE(torch::autograd::grad({(sums * weights).sum()}, {values})[0].equal(
      torch::tensor({3.0, 3.0, 7.0}, torch::kDouble)));
}

/// Two layers, each with an adapter "a" that is trained and one "b" that is not.
struct Net : torch::nn::Module {
  Linear first = register_module("first", Linear(3, 3)), second = register_module("second", Linear(3, 3));

  Net() {
    for (const char* name : {"b", "a"}) {
      attach(*this, {.rank = 2, .alpha = 4.0}, {.layers = {"first", "second"}}, name);
      for (Linear* layer : {&first, &second}) {
        for (torch::Tensor& factor : (*layer)->adapter(name)->parameters()) torch::nn::init::normal_(factor);
      }
    }
    train_only(*this, {"a"});
  }
  torch::Tensor forward(const torch::Tensor& x) { return second(torch::tanh(first(x))); }
  SequenceLogProbabilities scores(const torch::Tensor& x) { return {forward(x).sum(1), torch::ones({x.size(0)})}; }
};

TEST(PreferenceLoss, TheReferenceIsTheModelWithOtherAdaptersAndTakesNoGradient) {
  torch::manual_seed(1);
  Net net;
  net.train();
  const torch::Tensor x = torch::randn({4, 3});
  bool trained = true;
  const auto compute = [&] {
    trained = net.is_training() || torch::GradMode::is_enabled();
    return net.scores(x);
  };
  const torch::Tensor policy = net.scores(x).sums;
  for (const std::vector<ActiveAdapter>& active : {std::vector<ActiveAdapter>{}, {{"b", 0.5}}}) {
    const torch::Tensor reference = reference_log_probabilities(net, compute, active).sums;
    EXPECT_FALSE(trained);
    EXPECT_FALSE(reference.requires_grad());
    EXPECT_TRUE(net.is_training());
    EXPECT_TRUE(net.scores(x).sums.equal(policy));
    choose(net, active);
    EXPECT_TRUE(net.scores(x).sums.equal(reference)) << active.size();
    EXPECT_FALSE(reference.equal(policy));
    choose(net, "a");
  }
}

TEST(PreferenceLoss, RefusesAReferenceThatIsTrained) {
  Net net;
  const auto refused = [&](const std::vector<ActiveAdapter>& active) {
    return error_message([&] {
      reference_log_probabilities(
          net,
          [&] {
            return net.scores(torch::ones({2, 3}));
          },
          active);
    });
  };
  EXPECT_EQ(refused({{"a", 1.0}}),
            "StateError: the reference of a preference loss is trained itself: \"first.adapters.a.lora_A\" and 3 more; "
            "train an adapter that the reference lacks, or keep its log-probabilities from before");
  net.second->bias.requires_grad_(true);
  EXPECT_EQ(refused({}),
            "StateError: the reference of a preference loss is trained itself: \"second.bias\"; train an adapter that "
            "the reference lacks, or keep its log-probabilities from before");
  net.second->bias.requires_grad_(false);
  EXPECT_NE(refused({{"c", 1.0}}).find("OptionError"), std::string::npos);
}

TEST(PreferenceLoss, SaysWhatDoesNotFit) {
  const auto pairs = scores(policy_sums), other = scores({-1.0, -2.0});
  const SequenceLogProbabilities three{torch::ones({3}), torch::ones({3})}, two{torch::ones({2}), torch::ones({2})};
  EXPECT_EQ(
      error_message([&] { dpo_loss(three, three); }),
      "ShapeError: a preference loss got log-probabilities [3] of the policy and [3] of the reference; both are of "
      "2 P answers, the chosen ones first");
  EXPECT_NE(error_message([&] { dpo_loss(pairs, two); }).find("[4] of the policy and [2]"), std::string::npos);
  EXPECT_EQ(error_message([&] {
              dpo_loss(two, {two.sums, two.counts + 1});
            }),
            "ShapeError: policy and reference count other tokens in their answers; give both the same batch");
  EXPECT_EQ(error_message([&] {
              dpo_loss({two.sums, two.counts - 1}, {two.sums, two.counts - 1});
            }),
            "ShapeError: an answer of the batch has no token with a label; leave its pair out");
  EXPECT_EQ(error_message([&] { dpo_loss(two, two, {.beta = 0}); }),
            "OptionError: beta is 0; it must be finite and above 0");
  EXPECT_EQ(error_message([&] { ipo_loss(two, two, -1); }), "OptionError: beta is -1; it must be finite and above 0");
  EXPECT_EQ(error_message([&] { dpo_loss(two, two, {.label_smoothing = 0.5}); }),
            "OptionError: label_smoothing is 0.5; choose 0 up to 0.5");
  EXPECT_EQ(error_message([&] { mixed(dpo_loss(two, two).loss, chosen_loss(two), -1); }),
            "OptionError: the weight of the other loss is -1; it must be finite and at least 0");
  EXPECT_EQ(error_message([&] { chosen_loss(three); }),
            "ShapeError: log-probabilities [3] are not of pairs of answers");
  EXPECT_EQ(error_message([&] {
              sequence_log_probabilities(torch::ones({3}), torch::tensor({0, 2}, torch::kInt64));
            }),
            "ShapeError: sequences end at offsets [2] for log-probabilities [3]; they are [N + 1] of int64 on the CPU, "
            "ascend, and end with [M]");
  EXPECT_NE(error_message([&] {
              sequence_log_probabilities(torch::ones({3}), torch::tensor({0, 4, 3}, torch::kInt64));
            }).find("ascend"),
            std::string::npos);
}

}  // namespace
}  // namespace graft::preference_loss_test
