#include "graft/ops/detail/blocked_product.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

namespace {

using graft::Simd;
using graft::SimdScope;
using graft::detail::LowRankFactors;
using graft::detail::matrix_product;

enum class Lies { by_rows, by_columns, apart };  // how the elements of an operand lie in memory
enum class Onto { nothing, row, matrix };        // what a product is added to

torch::Tensor operand(std::int64_t rows, std::int64_t columns, Lies lies, torch::ScalarType type) {
  if (lies == Lies::by_rows) return torch::randn({rows, columns}, type);
  if (lies == Lies::by_columns) return torch::randn({columns, rows}, type).t();
  return torch::randn({rows, 2 * columns + 1}, type).slice(1, 1, 2 * columns + 1, 2);
}

template <class T>
void expect_equal_to_mm(std::int64_t M, std::int64_t K, std::int64_t N, Lies left, Lies right, Onto onto,
                        std::int64_t rank) {
  SCOPED_TRACE(testing::Message() << M << " x " << K << " x " << N << ", operands lie " << int(left) << ", "
                                  << int(right) << ", onto " << int(onto) << ", rank " << rank);
  const auto type = torch::CppTypeToScalarType<T>::value;
  const torch::Tensor a = operand(M, K, left, type), b = operand(K, N, right, type);
  torch::Tensor expected = a.to(torch::kFloat64).mm(b.to(torch::kFloat64)), start;
  if (onto == Onto::row) start = torch::randn({N}, type);
  if (onto == Onto::matrix) start = torch::randn({N, M}, type).t();
  if (start.defined()) expected += start;
  LowRankFactors more;
  if (rank > 0) {
    more.low = torch::randn({M, rank}, type);
    more.wide = torch::randn({rank, N + 3}, type).narrow(1, 0, N);
    torch::Tensor update = more.low.to(torch::kFloat64).mm(more.wide.to(torch::kFloat64));
    if (rank == 19) {
      more.bits = torch::randint(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(),
                                 {M, (N + 63) / 64}, torch::kLong);
      update *=
          more.bits.repeat_interleave(64, 1).narrow(1, 0, N).bitwise_right_shift(torch::arange(N) % 64).bitwise_and(1);
    }
    expected += update;
  }
  const torch::Tensor before = start.defined() ? start.clone() : start;
  const torch::Tensor c = matrix_product<T>(a, b, start, more);
  if (start.defined()) {
    ASSERT_TRUE(torch::equal(start, before));
  }
  ASSERT_EQ(c.sizes(), expected.sizes());
  ASSERT_EQ(c.scalar_type(), type);
  ASSERT_TRUE(c.is_contiguous());
  if (c.numel() == 0) return;
  // Sums of products of size 1: some units in the last place of their size.
  const double unit = sizeof(T) == 4 ? 1e-6 : 3e-15;
  EXPECT_LE((c.to(torch::kFloat64) - expected).abs().max().item<double>(),
            unit * std::sqrt(static_cast<double>(K + rank) + 1) * 8);
}

class ProductLevels : public ::testing::TestWithParam<Simd> {};

TEST_P(ProductLevels, EqualsMmInFloat64) {
  const SimdScope level(GetParam());
  torch::manual_seed(3);
  // Whole tiles and panels, one more and one less of each, more than one block deep and wide, single rows and columns.
  const std::int64_t shapes[][3] = {{64, 32, 96},  {1, 1, 1},     {7, 5, 3},     {33, 48, 47}, {16, 513, 49},
                                    {9, 1030, 50}, {131, 17, 65}, {40, 70, 800}, {5, 300, 1},  {1, 40, 200}};
  for (const auto& [M, K, N] : shapes) {
    for (const Lies left : {Lies::by_rows, Lies::by_columns, Lies::apart}) {
      for (const Lies right : {Lies::by_rows, Lies::by_columns, Lies::apart}) {
        for (const Onto onto : {Onto::nothing, Onto::row, Onto::matrix}) {
          for (const std::int64_t rank : {0, 1, 19}) {
            expect_equal_to_mm<float>(M, K, N, left, right, onto, rank);
            expect_equal_to_mm<double>(M, K, N, left, right, onto, rank);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, ProductLevels, testing::Values(Simd::baseline, Simd::avx2, Simd::avx512));

TEST(Product, OfNothingIsWhatItIsAddedTo) {
  for (const auto& [M, K, N] : std::vector<std::array<std::int64_t, 3>>{{0, 4, 5}, {3, 0, 5}, {3, 4, 0}}) {
    expect_equal_to_mm<float>(M, K, N, Lies::by_rows, Lies::by_rows, Onto::nothing, 0);
    expect_equal_to_mm<float>(M, K, N, Lies::by_columns, Lies::by_rows, Onto::row, 2);
    expect_equal_to_mm<float>(M, K, N, Lies::by_columns, Lies::by_rows, Onto::matrix, 2);
  }
}

TEST(Product, TakesARankThatFillsTheCachesAlone) {
  expect_equal_to_mm<float>(20, 30, 50, Lies::by_rows, Lies::by_rows, Onto::row, 4500);
}

TEST(Product, HasTheSameBitsAtAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  torch::manual_seed(4);
  const torch::Tensor a = torch::randn({150, 600}), b = torch::randn({600, 70}), bias = torch::randn({70});
  const LowRankFactors more{torch::randn({150, 8}), torch::randn({8, 70})};
  at::set_num_threads(1);
  const torch::Tensor alone = matrix_product<float>(a, b, bias, more);
  for (const int threads : {2, 3, 16}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(torch::equal(matrix_product<float>(a, b, bias, more), alone)) << threads;
  }
  at::set_num_threads(before);
}

TEST(Product, LeavesNaNsAndInfinitiesInTheirRowsAndColumns) {
  torch::Tensor a = torch::ones({20, 30}), b = torch::ones({30, 60});
  a[3][7] = std::numeric_limits<float>::quiet_NaN();
  b[9][59] = std::numeric_limits<float>::infinity();
  const torch::Tensor c = matrix_product<float>(a, b, {});
  EXPECT_TRUE(c[3].isnan().all().item<bool>());
  EXPECT_EQ(c.isnan().sum().item<std::int64_t>(), 60);
  EXPECT_EQ(c.isinf().sum().item<std::int64_t>(), 19);
}

}  // namespace
