#include "graft/ops/gelu.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/gradcheck.hpp"

namespace {

using graft::Simd;
using graft::SimdScope;

class GeluLevels : public ::testing::TestWithParam<Simd> {};

TEST_P(GeluLevels, EqualsFloat64Operations) {
  const SimdScope level(GetParam());
  // Both tails, and small and odd numbers of elements.
  for (const std::int64_t n : {0, 1, 5, 37, 10001}) {
    const torch::Tensor wide = torch::linspace(-12, 12, n, torch::kFloat64);
    for (const auto& [type, tolerance] : {std::pair(torch::kFloat32, 1e-6), std::pair(torch::kBFloat16, 8e-3)}) {
      const torch::Tensor x = wide.to(type).requires_grad_(true);
      const torch::Tensor exact = x.detach().to(torch::kFloat64).requires_grad_(true);
      const torch::Tensor y = graft::gelu(x), expected = torch::gelu(exact);
      y.sum().backward();
      expected.sum().backward();
      // Far out, rounding x^2 costs more than 1e-6 of a result that is by then below 1e-7.
      EXPECT_TRUE(torch::allclose(y.to(torch::kFloat64), expected, tolerance, 1e-7)) << n << ' ' << type;
      // The gradient has a zero near -0.75: absolute there.
      EXPECT_TRUE(torch::allclose(x.grad().to(torch::kFloat64), exact.grad(), tolerance, tolerance))
          << n << ' ' << type;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, GeluLevels, ::testing::Values(Simd::baseline, Simd::avx2, Simd::avx512));

TEST(Gelu, GradientEqualsDifferences) {
  torch::manual_seed(1);
  EXPECT_EQ(gradient_difference([](const auto& in) { return graft::gelu(in[0]); },
                                {torch::randn({3, 7}, torch::kFloat64) * 2}),
            "");
}

TEST(Gelu, TakesStridedInput) {
  const torch::Tensor x = torch::randn({5, 6}).t();
  EXPECT_TRUE(torch::equal(graft::gelu(x), graft::gelu(x.contiguous())));
}

TEST(Gelu, KeepsWhatIsNotFinite) {
  const torch::Tensor y = graft::gelu(torch::tensor({std::nanf(""), INFINITY}));
  EXPECT_TRUE(y[0].isnan().item<bool>());
  EXPECT_TRUE(y[1].isinf().item<bool>());
}

}  // namespace
