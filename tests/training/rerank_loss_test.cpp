#include "graft/training/rerank_loss.hpp"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

std::vector<double> numbers(const torch::Tensor& values) {
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

/// The definition, written out.
double listwise_by_hand(const torch::Tensor& logits, const torch::Tensor& grades, const std::vector<std::size_t>& at,
                        double scale) {
  const std::vector<double> x = numbers(logits), g = numbers(grades);
  double sum = 0;
  for (std::size_t l = 0; l + 1 < at.size(); ++l) {
    double of_x = 0, of_g = 0;
    for (std::size_t i = at[l]; i < at[l + 1]; ++i) of_x += std::exp(x[i]), of_g += std::exp(scale * g[i]);
    for (std::size_t i = at[l]; i < at[l + 1]; ++i) sum -= std::exp(scale * g[i]) / of_g * (x[i] - std::log(of_x));
  }
  return sum;
}

TEST(ListwiseCrossEntropy, EqualsItsDefinition) {
  torch::manual_seed(1);
  const auto logits = 3 * torch::randn({9}, torch::kDouble);
  const auto grades = torch::randint(0, 3, {9}, torch::kDouble);
  const auto offsets = torch::tensor({0, 1, 5, 9}, torch::kInt64);
  for (const double scale : {0.5, 1.0, 10.0}) {
    const Loss loss = listwise_cross_entropy(logits, grades, offsets, {.grade_scale = scale});
    EXPECT_NEAR(loss.sum.item<double>(), listwise_by_hand(logits, grades, {0, 1, 5, 9}, scale), 1e-12) << scale;
    EXPECT_EQ(loss.count, 3.0);
  }
  const Loss none = listwise_cross_entropy(logits.slice(0, 0, 0), grades.slice(0, 0, 0), offsets.slice(0, 0, 1));
  EXPECT_EQ(none.sum.item<double>(), 0.0);
  EXPECT_EQ(none.count, 0.0);
}

TEST(ListwiseCrossEntropy, SumsOfPartsAreTheSumOfTheWhole) {
  torch::manual_seed(2);
  const auto logits = torch::randn({8}, torch::kDouble), grades = torch::rand({8}, torch::kDouble);
  const Loss whole = listwise_cross_entropy(logits, grades, torch::tensor({0, 3, 8}, torch::kInt64));
  const Loss first =
      listwise_cross_entropy(logits.slice(0, 0, 3), grades.slice(0, 0, 3), torch::tensor({0, 3}, torch::kInt64));
  const Loss second =
      listwise_cross_entropy(logits.slice(0, 3), grades.slice(0, 3), torch::tensor({0, 5}, torch::kInt64));
  EXPECT_NEAR((first.sum + second.sum).item<double>(), whole.sum.item<double>(), 1e-12);
}

TEST(PointwiseCrossEntropy, EqualsItsDefinitionAlsoFarOut) {
  const auto logits = torch::tensor({-800.0, -1.0, 0.0, 2.0, 800.0}, torch::kDouble);
  const auto targets = torch::tensor({0.0, 1.0, 0.25, 1.0, 1.0}, torch::kDouble);
  const double w = 3;
  const auto log_sigmoid = [](double x) { return -std::log1p(std::exp(-x)); };
  const double by_hand = -w * log_sigmoid(-1) - (w * 0.25 + 0.75) * log_sigmoid(0) - w * log_sigmoid(2);
  const Loss loss = pointwise_cross_entropy(logits, targets, {.positive_weight = w});
  EXPECT_NEAR(loss.sum.item<double>(), by_hand, 1e-12);
  EXPECT_EQ(loss.count, 5.0);
}

TEST(ListwiseMarginError, ComparesTheFirstOfEachListWithTheOthers) {
  const auto scores = torch::tensor({3.0, 1.0, 0.0, 5.0, 2.0, 2.5}, torch::kDouble);
  const auto teacher = torch::tensor({1.0, 0.0, 0.0, 9.0, 2.0, 1.0}, torch::kDouble);
  const Loss loss = listwise_margin_error(scores, teacher, torch::tensor({0, 3, 4, 6}, torch::kInt64));
  EXPECT_NEAR(loss.sum.item<double>(), (2.0 - 1) * (2.0 - 1) + (3.0 - 1) * (3.0 - 1) + (-0.5 - 1) * (-0.5 - 1), 1e-12);
  EXPECT_EQ(loss.count, 3.0);
}

TEST(RerankLosses, NameWhatDoesNotFit) {
  const auto three = torch::zeros({3});
  const auto offsets = [](std::vector<std::int64_t> at) { return torch::tensor(at, torch::kInt64); };
  const std::pair<std::function<void()>, std::string> rows[] = {
      {[&] {
         pointwise_cross_entropy(torch::zeros({3, 1}), three);
       },
       "ShapeError: binary cross-entropy needs logits [N] and targets [N], got [3, 1] and [3]"},
      {[&] { pointwise_cross_entropy(three, three, {.positive_weight = 0}); },
       "OptionError: positive_weight is 0; choose a number above 0"},
      {[&] {
         listwise_cross_entropy(three, torch::zeros({2}), offsets({0, 3}));
       },
       "ShapeError: lists of passages need one number for each of P passages from both sides, got [3] and [2]"},
      {[&] {
         listwise_cross_entropy(three, three, offsets({0, 2}));
       },
       "ShapeError: offsets of lists go from 0 to 2, but there are 3 passages; they go from 0 to that"},
      {[&] {
         listwise_cross_entropy(three, three, offsets({0, 2, 2, 3}));
       },
       "ShapeError: list 1 has no passage; leave it out"},
      {[&] { listwise_cross_entropy(three, three, torch::zeros({2})); },
       "ShapeError: offsets of lists are [L + 1] int64 on the CPU, got [2] Float"},
      {[&] {
         listwise_cross_entropy(three, three, offsets({0, 3}), {.grade_scale = -1});
       },
       "OptionError: grade_scale is -1; choose a number above 0"},
      {[&] {
         listwise_margin_error(three, torch::zeros({4}), offsets({0, 3}));
       },
       "ShapeError: lists of passages need one number for each of P passages from both sides, got [3] and [4]"},
  };
  for (const auto& [call, says] : rows) EXPECT_EQ(error_message(call), says);
}

}  // namespace
}  // namespace graft
