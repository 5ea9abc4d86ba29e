#include "graft/ops/layer_norm.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/ops/dropout.hpp"
#include "support/error_message.hpp"
#include "support/gradcheck.hpp"

namespace layer_norm_test {
namespace {

using graft::add_norm;
using graft::Simd;
using graft::SimdScope;

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return a.numel() == 0 ? 0.0 : (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>();
}

class LayerNormLevels : public ::testing::TestWithParam<Simd> {};

TEST_P(LayerNormLevels, EqualsFloat64Operations) {
  const SimdScope level(GetParam());
  torch::manual_seed(1);
  for (const std::int64_t rows : {0, 1, 3, 130}) {
    for (const std::int64_t n : {1, 5, 64, 100, 384}) {
      // bfloat16: the sum is kept in 8 bits, so that hat is off by up to 0.02 at 4 deviations.
      for (const auto& [type, tolerance] :
           {std::pair(torch::kFloat64, 1e-12), std::pair(torch::kFloat32, 1e-5), std::pair(torch::kBFloat16, 0.1)}) {
        // Rows of one element: hat is 0, and 1 / sqrt(eps) enlarges whatever rounding made of the zero.
        if (n == 1 && type != torch::kFloat64) continue;
        std::vector<torch::Tensor> in, wide;
        for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{rows, n}, {rows, n}, {n}, {n}}) {
          in.push_back(torch::randn(sizes, torch::kFloat64).to(type).requires_grad_(true));
          wide.push_back(in.back().detach().to(torch::kFloat64).requires_grad_(true));
        }
        const torch::Tensor y = add_norm(in[0], in[1], in[2], in[3], 1e-5);
        const torch::Tensor expected = torch::layer_norm(wide[0] + wide[1], {n}, wide[2], wide[3], 1e-5);
        EXPECT_LE(largest_difference(y, expected), tolerance) << rows << ' ' << n << ' ' << type;
        const torch::Tensor w = torch::randn_like(y);
        const auto grads = torch::autograd::grad({y}, in, {w});
        const auto expected_grads = torch::autograd::grad({expected}, wide, {w.to(torch::kFloat64)});
        for (std::size_t i = 0; i < in.size(); ++i) {
          // Sums over 130 rows, and rows with a small deviation, scale the tolerance.
          const double size = 1 + (rows == 0 ? 0 : expected_grads[i].abs().max().item<double>());
          EXPECT_LE(largest_difference(grads[i], expected_grads[i]), 4 * tolerance * size)
              << i << ' ' << rows << ' ' << n << ' ' << type;
        }
        const torch::Tensor alone = graft::layer_norm(in[0], in[2], in[3], 1e-5);
        EXPECT_LE(largest_difference(alone, torch::layer_norm(wide[0], {n}, wide[2], wide[3], 1e-5)), tolerance);
      }
    }
  }
}

TEST_P(LayerNormLevels, DropoutIsThatOfDropout) {
  const SimdScope level(GetParam());
  const torch::Tensor x = torch::randn({40, 70}), residual = torch::randn({40, 70});
  const torch::Tensor weight = torch::rand({70}), bias = torch::rand({70});
  torch::manual_seed(2);
  const torch::Tensor y = add_norm(x, residual, weight, bias, 1e-5, 0.3);
  torch::manual_seed(2);
  const torch::Tensor expected = torch::layer_norm(residual + graft::dropout(x, 0.3), {70}, weight, bias, 1e-5);
  EXPECT_LE(largest_difference(y, expected), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Simd, LayerNormLevels, ::testing::Values(Simd::baseline, Simd::avx2, Simd::avx512));

TEST(LayerNorm, GradientEqualsDifferences) {
  torch::manual_seed(3);
  const std::vector<torch::Tensor> in{torch::randn({2, 3, 5}, torch::kFloat64),
                                      torch::randn({2, 3, 5}, torch::kFloat64), torch::randn({5}, torch::kFloat64),
                                      torch::randn({5}, torch::kFloat64)};
  for (const double p : {0.0, 0.4}) {
    const auto f = [&](const std::vector<torch::Tensor>& t) {
      torch::manual_seed(4);
      return add_norm(t[0], t[1], t[2], t[3], 1e-3, p);
    };
    EXPECT_EQ(gradient_difference(f, in), "");
  }
  EXPECT_EQ(gradient_difference([](const auto& t) { return graft::layer_norm(t[0], t[1], t[2], 1e-3); },
                                {in[0], in[2], in[3]}),
            "");
}

TEST(LayerNorm, FrozenWeightGetsNoGradient) {
  const torch::Tensor x = torch::randn({4, 8}).requires_grad_(true), one = torch::ones({8}), zero = torch::zeros({8});
  graft::layer_norm(x, one, zero, 1e-5).pow(2).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(one.grad().defined());
}

TEST(LayerNorm, TakesStridedInput) {
  const torch::Tensor x = torch::randn({6, 9}).t(), residual = torch::randn({9, 12}).slice(1, 0, 12, 2);
  const torch::Tensor weight = torch::rand({12}).slice(0, 0, 12, 2), bias = torch::rand({6});
  EXPECT_TRUE(torch::equal(add_norm(x, residual, weight, bias, 1e-5),
                           add_norm(x.contiguous(), residual.contiguous(), weight.contiguous(), bias, 1e-5)));
}

TEST(LayerNorm, RefusesWhatDoesNotFit) {
  const torch::Tensor x = torch::ones({2, 4}), four = torch::ones({4}), three = torch::ones({3});
  EXPECT_EQ(
      error_message([&] { graft::layer_norm(x, three, three, 1e-5); }),
      "ShapeError: a layer norm got x [2, 4], residual [], weight [3], bias [3]; it wants x and residual [..., D], "
      "weight and bias [D]");
  EXPECT_EQ(error_message([&] { add_norm(x, x, four, four, 1e-5, 1.5); }),
            "OptionError: dropout is 1.5; choose a chance from 0 up to, but not, 1");
}

}  // namespace
}  // namespace layer_norm_test
