#include "graft/ops/decoding.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"

#include <array>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/error_message.hpp"

namespace {

using graft::Simd;
using graft::SimdScope;

class DecodingLevels : public ::testing::TestWithParam<Simd> {};

torch::Tensor normed(const torch::Tensor& x, const torch::Tensor& weight, double offset) {
  const torch::Tensor wide = x.to(torch::kFloat64);
  return wide / (wide.square().mean(-1, true) + 1e-5).sqrt() * (weight.to(torch::kFloat64) + offset);
}

TEST_P(DecodingLevels, NormInOnePassEqualsFloat64Operations) {
  const SimdScope level(GetParam());
  torch::manual_seed(1);
  for (const auto& sizes :
       std::vector<std::vector<std::int64_t>>{{0, 8}, {1, 1}, {1, 576}, {7, 33}, {3, 5, 64}, {300, 96}}) {
    const torch::Tensor x = torch::randn(sizes), weight = torch::randn({sizes.back()});
    for (const double offset : {0.0, 1.0}) {
      const torch::Tensor y = graft::rms_norm(x, weight, 1e-5, offset);
      EXPECT_EQ(y.sizes(), x.sizes());
      EXPECT_TRUE(torch::allclose(y.to(torch::kFloat64), normed(x, weight, offset), 1e-5, 1e-6));
    }
  }
  const torch::Tensor strided = torch::randn({6, 9}).t(), weight = torch::randn({6});
  EXPECT_TRUE(
      torch::equal(graft::rms_norm(strided, weight, 1e-5), graft::rms_norm(strided.contiguous(), weight, 1e-5)));
}

TEST_P(DecodingLevels, HeadsInOnePassAreTurnedByTheirAngles) {
  const SimdScope level(GetParam());
  torch::manual_seed(2);
  for (const auto& [tokens, heads, size] :
       std::vector<std::array<std::int64_t, 3>>{{0, 2, 4}, {1, 1, 2}, {1, 9, 64}, {5, 3, 6}, {200, 4, 40}}) {
    const torch::Tensor x = torch::randn({tokens, heads, size}), angles = torch::randn({tokens, 1, size / 2});
    const torch::Tensor y = graft::rotate_pairs(x, angles.cos(), angles.sin());
    // Pairs as complex numbers, times e^(i angle).
    const torch::Tensor wide = x.to(torch::kFloat64);
    const torch::Tensor pairs = torch::complex(wide.narrow(2, 0, size / 2), wide.narrow(2, size / 2, size / 2));
    const torch::Tensor turned =
        pairs * torch::polar(torch::ones_like(angles, torch::kFloat64), angles.to(torch::kFloat64));
    EXPECT_TRUE(
        torch::allclose(y.to(torch::kFloat64), torch::cat({torch::real(turned), torch::imag(turned)}, 2), 1e-5, 1e-6));
  }
}

INSTANTIATE_TEST_SUITE_P(All, DecodingLevels, ::testing::Values(Simd::baseline, Simd::avx2, Simd::avx512));

TEST(Decoding, WithAGradientGivesTheSame) {
  torch::manual_seed(3);
  const torch::Tensor x = torch::randn({4, 3, 6}), weight = torch::randn({6}), angles = torch::randn({4, 1, 3});
  const torch::Tensor recorded = x.clone().requires_grad_(true);
  const torch::Tensor norm = graft::rms_norm(recorded, weight, 1e-5, 1.0);
  const torch::Tensor turned = graft::rotate_pairs(recorded, angles.cos(), angles.sin());
  EXPECT_TRUE(norm.requires_grad() && turned.requires_grad());
  EXPECT_TRUE(torch::allclose(norm, graft::rms_norm(x, weight, 1e-5, 1.0), 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(turned, graft::rotate_pairs(x, angles.cos(), angles.sin()), 1e-5, 1e-6));
  // A trained weight alone is enough.
  EXPECT_TRUE(graft::rms_norm(x, weight.clone().requires_grad_(true), 1e-5).requires_grad());
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(graft::rms_norm(recorded, weight, 1e-5).requires_grad());
}

TEST(Decoding, RefusesWhatDoesNotFit) {
  const torch::Tensor x = torch::ones({2, 3, 4});
  EXPECT_EQ(
      error_message([&] { graft::rms_norm(x, torch::ones({3}), 1e-5); }),
      "ShapeError: input of a norm is [2, 3, 4], its weight [3]; the last size of the input must be the weight's");
  EXPECT_EQ(error_message([&] {
              graft::rotate_pairs(x, torch::ones({2, 1, 4}), torch::ones({2, 1, 2}));
            }),
            "ShapeError: heads to turn are [2, 3, 4], the angles' cosines [2, 1, 4] and sines [2, 1, 2]; they must be "
            "[T, H, d] with d even, and [T, 1, d / 2] both");
}

}  // namespace
