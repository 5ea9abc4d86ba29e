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

TEST(Pooling, SumsHalfPrecisionInFloat) {
  // In bfloat16 the sum would stop growing at 256.
  const torch::Tensor ones = torch::ones({1000, 1}, torch::kBFloat16);
  const torch::Tensor mean = mean_tokens(ones, torch::tensor({0, 1000}, torch::kInt64));
  EXPECT_EQ(mean.scalar_type(), torch::kBFloat16);
  EXPECT_EQ(mean.item<float>(), 1.0F);
}

}  // namespace
}  // namespace graft
