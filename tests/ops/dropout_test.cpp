#include "graft/ops/dropout.hpp"
#include "graft/ops/detail/dropout_bits.hpp"
#include "graft/ops/kernels/random_kernels.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"

#include <bit>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/error_message.hpp"
#include "support/gradcheck.hpp"

namespace {

using graft::dropout;
using graft::Simd;
using graft::SimdScope;

/// Philox4x32 with 7 rounds, from the paper, one counter at a time: the 16-bit number that belongs to element e of a
/// row that starts at word `word`.
std::uint32_t philox_number(std::uint64_t key, std::uint64_t word, std::int64_t e) {
  const std::uint64_t counter = 8 * (word + e / 64) + (e % 64) / 8;
  std::uint32_t x[4] = {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0};
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 7; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * x[0], p1 = std::uint64_t{0xCD9E8D57} * x[2];
    const std::uint32_t next[4] = {static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0, static_cast<std::uint32_t>(p1),
                                   static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1, static_cast<std::uint32_t>(p0)};
    std::copy(next, next + 4, x);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  const std::int64_t part = e % 8;
  return x[part / 2] >> (16 * (part % 2)) & 0xffff;
}

TEST(Dropout, BitsAreThoseOfThePaperAtEveryWidth) {
  const std::uint64_t key = 0x0123456789abcdef;
  const std::uint32_t threshold = 20000;
  const std::uint64_t first = (std::uint64_t{1} << 29) - 1;  // its counters cross 2^32
  for (const Simd simd : {Simd::baseline, Simd::avx2, Simd::avx512}) {
    const SimdScope level(simd);
    std::vector<std::uint64_t> words(3, 0);
    auto* origin = words.data() - first;
    GRAFT_SIMD_CALL(float, keep_bits, origin, static_cast<std::int64_t>(first), static_cast<std::int64_t>(first + 3),
                    key, threshold);
    for (std::int64_t e = 0; e < 192; ++e) {
      EXPECT_EQ(words[e / 64] >> (e % 64) & 1, philox_number(key, first, e) >= threshold) << e;
    }
  }
}

TEST(Dropout, KeepsOrZeroesAndScales) {
  torch::manual_seed(1);
  for (const auto type : {torch::kFloat32, torch::kFloat64, torch::kBFloat16}) {
    for (const std::int64_t columns : {1, 7, 64, 100, 768}) {
      const torch::Tensor x = torch::ones({33, columns}, torch::dtype(type));
      const torch::Tensor y = dropout(x, 0.25);
      EXPECT_EQ(y.scalar_type(), type);
      // 0.25 is a whole number of 65536ths; 4 / 3 in the type's own rounding.
      const torch::Tensor kept = torch::full({}, 4.0 / 3.0, torch::dtype(type));
      EXPECT_TRUE(((y == 0) | (y == kept)).all().item<bool>()) << type << ' ' << columns;
    }
  }
}

TEST(Dropout, ChanceAndMeanAreRight) {
  torch::manual_seed(2);
  const std::int64_t n = 1 << 20;
  for (const double p : {0.1, 0.5, 0.9}) {
    const torch::Tensor y = dropout(torch::ones({n / 64, 64}), p);
    const double deviation = std::sqrt(p * (1 - p) / n);
    EXPECT_NEAR((y == 0).to(torch::kFloat64).mean().item<double>(), p, 6 * deviation + 1e-5);
    EXPECT_NEAR(y.to(torch::kFloat64).mean().item<double>(), 1.0, 6 * deviation / (1 - p));
  }
}

TEST(Dropout, IsSetByTheSeedAlone) {
  const torch::Tensor x = torch::randn({1000, 130});
  const auto run = [&](int threads, Simd simd) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const SimdScope level(simd);
    torch::manual_seed(3);
    const torch::Tensor y = dropout(x, 0.3);
    at::set_num_threads(before);
    return y;
  };
  const torch::Tensor first = run(1, Simd::avx512);
  EXPECT_TRUE(torch::equal(first, run(2, Simd::avx512)));
  EXPECT_TRUE(torch::equal(first, run(2, Simd::avx2)));
  EXPECT_TRUE(torch::equal(first, run(3, Simd::baseline)));
  EXPECT_FALSE(torch::equal(first, dropout(x, 0.3)));
}

TEST(Dropout, GradientEqualsDifferences) {
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{3, 5}, {1, 1}, {2, 3, 9}, {0, 4}, {}}) {
    const auto f = [](const std::vector<torch::Tensor>& in) {
      torch::manual_seed(4);
      return dropout(in[0], 0.4);
    };
    EXPECT_EQ(gradient_difference(f, {torch::randn(sizes, torch::kFloat64)}), "");
  }
}

TEST(Dropout, TakesStridedInput) {
  const torch::Tensor x = torch::randn({9, 14}).t();
  torch::manual_seed(5);
  const torch::Tensor y = dropout(x, 0.2);
  torch::manual_seed(5);
  EXPECT_TRUE(torch::equal(y, dropout(x.contiguous(), 0.2)));
}

TEST(Dropout, ChanceZeroGivesTheInputAndDrawsNothing) {
  const torch::Tensor x = torch::randn({4, 4});
  torch::manual_seed(6);
  EXPECT_TRUE(dropout(x, 0.0).is_same(x));
  const torch::Tensor drawn = torch::randn({3});
  torch::manual_seed(6);
  EXPECT_TRUE(torch::equal(drawn, torch::randn({3})));
}

TEST(Dropout, RefusesAChanceOutsideItsRange) {
  for (const double p : {-0.1, 1.0, std::nan("")}) {
    EXPECT_EQ(error_message([&] { dropout(torch::ones({2}), p); }),
              graft::message("OptionError: dropout is ", p, "; choose a chance from 0 up to, but not, 1"));
  }
}

}  // namespace
