#include "graft/layers/pooling.hpp"

#include <gtest/gtest.h>

namespace graft {
namespace {

const torch::Tensor offsets = torch::tensor({0, 3, 4, 6}, torch::kInt64);

TEST(Pooling, TakesTheFirstTokenOfEachSequence) {
  const torch::Tensor hidden = torch::arange(12, torch::kFloat64).view({6, 2});
  EXPECT_TRUE(
      torch::equal(first_tokens(hidden, offsets), torch::tensor({{0., 1.}, {6., 7.}, {8., 9.}}, torch::kFloat64)));
}

TEST(Pooling, AveragesEachSequence) {
  const torch::Tensor hidden = torch::arange(12, torch::kFloat64).view({6, 2}).requires_grad_();
  const torch::Tensor mean = mean_tokens(hidden, offsets);
  EXPECT_TRUE(torch::equal(mean, torch::tensor({{2., 3.}, {6., 7.}, {9., 10.}}, torch::kFloat64)));
  mean.sum().backward();
  const torch::Tensor third = torch::tensor(1.0, torch::kFloat64) / 3;
  EXPECT_TRUE(torch::equal(hidden.grad().select(1, 0),
                           torch::stack({third, third, third, third * 3, third * 1.5, third * 1.5})));
}

TEST(Pooling, TakesTheLastTokenAndTheLargestValuesOfEachSequence) {
  const torch::Tensor hidden =
      torch::tensor({{-1., -5.}, {-4., -2.}, {-3., -3.}, {-9., 7.}, {2., 0.}, {1., 1.}}, torch::kFloat64);
  EXPECT_TRUE(
      torch::equal(last_tokens(hidden, offsets), torch::tensor({{-3., -3.}, {-9., 7.}, {1., 1.}}, torch::kFloat64)));
  EXPECT_TRUE(
      torch::equal(max_tokens(hidden, offsets), torch::tensor({{-1., -2.}, {-9., 7.}, {2., 1.}}, torch::kFloat64)));
}

TEST(Pooling, WeighsByTheNumberOrThePlacesOfTokens) {
  const torch::Tensor hidden = torch::arange(12, torch::kFloat64).view({6, 2});
  const torch::Tensor roots = torch::tensor({3., 1., 2.}, torch::kFloat64).sqrt().unsqueeze(1);
  EXPECT_TRUE(torch::allclose(mean_sqrt_tokens(hidden, offsets), mean_tokens(hidden, offsets) * roots, 1e-15));
  // (1 * 0 + 2 * 2 + 3 * 4) / 6, and so on.
  EXPECT_TRUE(torch::allclose(weighted_mean_tokens(hidden, offsets),
                              torch::tensor({{16. / 6, 22. / 6}, {6., 7.}, {28. / 3, 31. / 3}}, torch::kFloat64),
                              1e-15));
  // Without the two tokens of a prompt that stood before each: (3 * 0 + 4 * 2 + 5 * 4) / 12.
  EXPECT_TRUE(torch::allclose(weighted_mean_tokens(hidden, offsets, 3),
                              torch::tensor({{28. / 12, 40. / 12}, {6., 7.}, {64. / 7, 71. / 7}}, torch::kFloat64),
                              1e-15));
}

TEST(Pooling, SumsHalfPrecisionInFloat) {
  // In bfloat16 the sum would stop growing at 256.
  const torch::Tensor ones = torch::ones({1000, 1}, torch::kBFloat16);
  const torch::Tensor mean = mean_tokens(ones, torch::tensor({0, 1000}, torch::kInt64));
  EXPECT_EQ(mean.scalar_type(), torch::kBFloat16);
  EXPECT_EQ(mean.item<float>(), 1.0F);
  EXPECT_EQ(mean_sqrt_tokens(ones, torch::tensor({0, 1000}, torch::kInt64)).item<float>(), 31.625F);  // of 31.6228
  EXPECT_EQ(weighted_mean_tokens(ones, torch::tensor({0, 1000}, torch::kInt64)).item<float>(), 1.0F);
}

}  // namespace
}  // namespace graft
