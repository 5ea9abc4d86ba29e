#include "graft/ops/attention.hpp"
#include "graft/core/error.hpp"

#include <algorithm>

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/ops/cached_attention.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"
#include "support/gradcheck.hpp"

namespace {

using graft::attention;
using graft::AttentionOptions;
using graft::Simd;
using graft::SimdScope;

torch::Tensor offsets_of(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> ends{0};
  for (const std::int64_t length : lengths) ends.push_back(ends.back() + length);
  return torch::tensor(ends, torch::kInt64);
}

struct Heads {
  torch::Tensor q, k, v, offsets, bias = {};
};

Heads random_heads(const std::vector<std::int64_t>& lengths, std::int64_t heads, std::int64_t kv_heads,
                   std::int64_t size, torch::ScalarType type) {
  const torch::Tensor offsets = offsets_of(lengths);
  const std::int64_t tokens = offsets[-1].item<std::int64_t>();
  const auto draw = [&](std::int64_t h) {
    return torch::randn({tokens, h, size}, torch::kFloat64).to(type).requires_grad_(true);
  };
  return {draw(heads), draw(kv_heads), draw(kv_heads), offsets};
}

/// What attention() promises, in float64 and with no kernel of its own.
torch::Tensor reference(const Heads& x, const AttentionOptions& options) {
  AttentionOptions kept = options;
  kept.dropout = 0.0;
  return graft::detail::plain_attention(x.q.to(torch::kFloat64), x.k.to(torch::kFloat64), x.v.to(torch::kFloat64),
                                        x.offsets, kept, x.bias.defined() ? x.bias.to(torch::kFloat64) : x.bias);
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return a.numel() == 0 ? 0.0 : (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>();
}

/// `limit`: Offsets::longest.
void expect_equal_to_reference(const Heads& x, const AttentionOptions& options, double tolerance,
                               std::int64_t limit = 0) {
  const torch::Tensor expected = reference(x, options);
  const torch::Tensor got = attention(x.q, x.k, x.v, {x.offsets, limit}, options, x.bias);
  ASSERT_EQ(got.sizes(), x.q.sizes());
  ASSERT_EQ(got.scalar_type(), x.q.scalar_type());
  EXPECT_LE(largest_difference(got, expected), tolerance);
  const torch::Tensor w = torch::randn_like(got);
  std::vector<torch::Tensor> inputs{x.q, x.k, x.v};
  if (x.bias.defined()) inputs.push_back(x.bias);
  const auto got_grads = torch::autograd::grad({got}, inputs, {w});
  const auto expected_grads = torch::autograd::grad({expected}, inputs, {w.to(torch::kFloat64)});
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    // An element of the bias sums over the pairs of tokens at its distance, 217 of them at most here.
    const double sums = i == 3 ? 16 : 1;
    EXPECT_LE(largest_difference(got_grads[i], expected_grads[i]), 4 * sums * tolerance) << i;
  }
}

class AttentionLevels : public ::testing::TestWithParam<Simd> {};

TEST_P(AttentionLevels, EqualsFloat64Operations) {
  const SimdScope level(GetParam());
  torch::manual_seed(1);
  const std::vector<std::vector<std::int64_t>> batches = {{1}, {5, 0, 17, 64}, {131, 3}};
  for (const auto& lengths : batches) {
    for (const std::int64_t size : {1, 7, 64}) {
      for (const std::int64_t window : {-1, 0, 1, 70}) {  // -1: not causal
        const AttentionOptions options{.causal = window >= 0,
                                       .window = std::max<std::int64_t>(window, 0),
                                       .scale = size == 7 ? std::optional(0.3) : std::nullopt};
        // Tolerances: a few units in the last place of values of size 1 to 4; bfloat16 rounds to 8 bits.
        expect_equal_to_reference(random_heads(lengths, 3, 3, size, torch::kFloat64), options, 1e-13);
        expect_equal_to_reference(random_heads(lengths, 4, 2, size, torch::kFloat32), options, 2e-5);
        expect_equal_to_reference(random_heads(lengths, 2, 1, size, torch::kBFloat16), options, 5e-2);
      }
    }
  }
}

TEST_P(AttentionLevels, DistanceBiasEqualsFloat64Operations) {
  const SimdScope level(GetParam());
  torch::manual_seed(9);
  const std::vector<std::vector<std::int64_t>> batches = {{1}, {5, 0, 17, 64}, {131, 3}};
  for (const auto& lengths : batches) {
    const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    for (const std::int64_t reach : {longest, longest + 5}) {
      for (const std::int64_t window : {-1, 0, 70}) {  // -1: not causal
        const AttentionOptions options{
            .causal = window >= 0, .window = std::max<std::int64_t>(window, 0), .scale = 0.3};
        for (const auto& [type, kv_heads, tolerance] : std::vector<std::tuple<torch::ScalarType, std::int64_t, double>>{
                 {torch::kFloat64, 4, 1e-13}, {torch::kFloat32, 2, 2e-5}, {torch::kBFloat16, 1, 5e-2}}) {
          Heads x = random_heads(lengths, 4, kv_heads, 7, type);
          x.bias = torch::randn({4, 2 * reach - 1}, torch::kFloat64).to(type).requires_grad_(true);
          expect_equal_to_reference(x, options, tolerance);
        }
      }
    }
  }
}

TEST_P(AttentionLevels, GradientEqualsDifferences) {
  const SimdScope level(GetParam());
  torch::manual_seed(2);
  for (const double dropout : {0.0, 0.4}) {
    for (const std::int64_t window : {-1, 0, 2}) {
      const Heads x = random_heads({3, 1, 5}, 2, 1, 3, torch::kFloat64);
      const auto f = [&](const std::vector<torch::Tensor>& in) {
        torch::manual_seed(3);  // the same weights are dropped in every call
        return attention(in[0], in[1], in[2], x.offsets,
                         {.dropout = dropout, .causal = window >= 0, .window = std::max<std::int64_t>(window, 0)});
      };
      EXPECT_EQ(gradient_difference(f, {x.q, x.k, x.v}), "");
      const torch::Tensor bias = torch::randn({2, 2 * 6 - 1}, torch::kFloat64).requires_grad_(true);
      const auto biased = [&](const std::vector<torch::Tensor>& in) {
        torch::manual_seed(3);
        return attention(in[0], in[1], in[2], x.offsets,
                         {.dropout = dropout, .causal = window >= 0, .window = std::max<std::int64_t>(window, 0)},
                         in[3]);
      };
      EXPECT_EQ(gradient_difference(biased, {x.q, x.k, x.v, bias}), "");
    }
  }
}

TEST_P(AttentionLevels, DropoutBehindAWindowHasItsGradient) {
  const SimdScope level(GetParam());
  torch::manual_seed(4);
  const Heads x = random_heads({131}, 1, 1, 1, torch::kFloat64);  // whole words of keys lie before the window
  const auto f = [&](const std::vector<torch::Tensor>& in) {
    torch::manual_seed(3);
    return attention(in[0], in[1], in[2], x.offsets, {.dropout = 0.4, .causal = true, .window = 3});
  };
  EXPECT_EQ(gradient_difference(f, {x.q, x.k, x.v}), "");
}

INSTANTIATE_TEST_SUITE_P(Simd, AttentionLevels, ::testing::Values(Simd::baseline, Simd::avx2, Simd::avx512));

TEST(Attention, TakesViewsOfOneProjection) {
  torch::manual_seed(4);
  const torch::Tensor joined = torch::randn({9, 3, 2, 5}, torch::kFloat64);
  const torch::Tensor offsets = offsets_of({4, 5});
  const auto part = [&](int i) { return joined.select(1, i); };
  const torch::Tensor expected = attention(part(0).contiguous(), part(1).contiguous(), part(2).contiguous(), offsets);
  EXPECT_TRUE(torch::equal(attention(part(0), part(1), part(2), offsets), expected));
  const torch::Tensor turned = joined.transpose(1, 3).contiguous().transpose(1, 3);  // the last size has gaps
  const auto gap = [&](int i) { return turned.select(1, i); };
  EXPECT_TRUE(torch::equal(attention(gap(0), gap(1), gap(2), offsets), expected));
}

TEST(Attention, DistanceBiasDoesNotDependOnThreadsOrStrides) {
  torch::manual_seed(10);
  Heads x = random_heads({40, 70, 3}, 4, 4, 16, torch::kFloat32);
  const torch::Tensor table = torch::randn({139, 4});  // [2 R - 1, H]: its transpose has gaps
  const auto run = [&](int threads, const torch::Tensor& bias) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const torch::Tensor leaf = bias.detach().requires_grad_(true);
    const torch::Tensor y = attention(x.q, x.k, x.v, x.offsets, {}, leaf);
    const torch::Tensor grad = torch::autograd::grad({y.square().sum()}, {leaf})[0];
    at::set_num_threads(before);
    return std::pair(y.detach(), grad);
  };
  const auto [y, grad] = run(1, table.t());
  const auto [y2, grad2] = run(2, table.t().contiguous());
  EXPECT_TRUE(torch::equal(y, y2));
  EXPECT_TRUE(torch::equal(grad, grad2));
}

TEST(Attention, EmptyBatchGivesNothing) {
  const Heads x = random_heads({0, 0}, 2, 2, 4, torch::kFloat32);
  const torch::Tensor y = attention(x.q, x.k, x.v, x.offsets, {.dropout = 0.1});
  EXPECT_EQ(y.sizes(), x.q.sizes());
  y.sum().backward();
  EXPECT_EQ(x.q.grad().sizes(), x.q.sizes());
}

TEST(Attention, SequencesDoNotSeeEachOther) {
  torch::manual_seed(5);
  Heads x = random_heads({6, 7}, 2, 2, 4, torch::kFloat32);
  const torch::Tensor before = attention(x.q, x.k, x.v, x.offsets);
  {
    const torch::NoGradGuard no_grad;
    x.k.slice(0, 6) += 3;
    x.v.slice(0, 6) += 3;
  }
  const torch::Tensor after = attention(x.q, x.k, x.v, x.offsets);
  EXPECT_TRUE(torch::equal(before.slice(0, 0, 6), after.slice(0, 0, 6)));
  EXPECT_FALSE(torch::equal(before.slice(0, 6), after.slice(0, 6)));
}

TEST(Attention, DropoutIsSetByTheSeedAlone) {
  Heads x = random_heads({40, 70, 3}, 4, 4, 16, torch::kFloat64);
  const auto run = [&](int threads, Simd simd) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const SimdScope level(simd);
    torch::manual_seed(6);
    const torch::Tensor y = attention(x.q, x.k, x.v, x.offsets, {.dropout = 0.3});
    at::set_num_threads(before);
    return y;
  };
  const torch::Tensor first = run(1, Simd::avx512);
  EXPECT_TRUE(torch::equal(first, run(2, Simd::avx512)));
  EXPECT_LE(largest_difference(first, run(1, Simd::baseline)), 1e-13);
  torch::manual_seed(7);
  EXPECT_GT(largest_difference(first, attention(x.q, x.k, x.v, x.offsets, {.dropout = 0.3})), 0.01);
}

TEST(Attention, DropoutKeepsTheMean) {
  // Values of 1 and equal weights: each result is (kept weights) / (chance x length), of mean 1 and variance
  // p / ((1 - p) length) = 1 / 9 / 128; the mean over 128 x 64 results lies within 0.0021 (six deviations) of 1.
  const torch::Tensor zero = torch::zeros({128, 64, 1}), one = torch::ones({128, 64, 1});
  torch::manual_seed(8);
  const torch::Tensor y = attention(zero, zero, one, offsets_of({128}), {.dropout = 0.1});
  EXPECT_NEAR(y.mean().item<double>(), 1.0, 0.0021);
  EXPECT_NEAR(y.var().item<double>(), 1.0 / 9 / 128, 1e-4);
}

TEST(Attention, OfUnreadOffsetsIsTheSame) {
  torch::manual_seed(11);
  const std::vector<std::vector<std::int64_t>> batches = {{1}, {5, 0, 17, 64}, {31, 3}};
  for (const auto& lengths : batches) {
    const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    for (const std::int64_t limit : {longest, longest + 7}) {
      for (const std::int64_t window : {-1, 0, 9}) {  // -1: not causal
        const AttentionOptions options{
            .causal = window >= 0, .window = std::max<std::int64_t>(window, 0), .scale = 0.3};
        Heads x = random_heads(lengths, 4, 2, 7, torch::kFloat64);
        expect_equal_to_reference(x, options, 1e-13, limit);
        x.bias = torch::randn({4, 2 * limit - 1}, torch::kFloat64).requires_grad_(true);
        expect_equal_to_reference(x, options, 1e-13, limit);
      }
    }
  }
  const Heads none = random_heads({}, 2, 2, 4, torch::kFloat64);
  EXPECT_EQ(attention(none.q, none.k, none.v, {none.offsets, 5}).sizes(), none.q.sizes());
}

TEST(Attention, DropsWeightsOfUnreadOffsetsToo) {
  torch::manual_seed(12);
  const std::int64_t tokens = 200;
  const torch::Tensor q = torch::zeros({tokens, 8, 1}), v = torch::ones({tokens, 8, 1});
  // Each result is the share of kept weights over 1 - p, whose mean is 1.
  const torch::Tensor y = attention(q, q, v, {offsets_of({120, 80}), 128}, {.dropout = 0.25});
  EXPECT_NEAR(y.mean().item<double>(), 1.0, 0.01);
  EXPECT_GT(y.std().item<double>(), 0.02);
}

template <class Error, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return graft::message(error.kind(), ": ", error.what());
  }
  return "nothing was thrown";
}

TEST(Attention, RefusesWhatDoesNotFit) {
  const Heads x = random_heads({2, 3}, 2, 2, 4, torch::kFloat32);
  const auto call = [&](torch::Tensor q, torch::Tensor offsets, AttentionOptions options = {}) {
    return [=] { attention(q, x.k, x.v, offsets, options); };
  };
  EXPECT_EQ(message_of<graft::ShapeError>(call(x.q.narrow(0, 0, 4), x.offsets)),
            "ShapeError: attention got q [4, 2, 4], k [5, 2, 4], v [5, 2, 4]; it wants q [T, H, d] and k, v [T, G, d], "
            "where G divides H");
  EXPECT_EQ(message_of<graft::ShapeError>(call(x.q, offsets_of({2, 2}))),
            "ShapeError: attention's offsets run from 0 to 4; they must rise from 0 to 5, the number of tokens");
  EXPECT_EQ(message_of<graft::ShapeError>(call(x.q.to(torch::kFloat64), x.offsets)),
            "ShapeError: attention got q of type Double, k Float, v Float; convert them to one type");
  EXPECT_EQ(message_of<graft::OptionError>(call(x.q, x.offsets, {.dropout = 1.0})),
            "OptionError: dropout is 1; choose a chance from 0 up to, but not, 1");
  EXPECT_EQ(message_of<graft::OptionError>(call(x.q, x.offsets, {.scale = 0.0})),
            "OptionError: attention's scale is 0; choose a finite number above 0");
  EXPECT_EQ(message_of<graft::ShapeError>([&] {
              attention(x.q, x.k, x.v, x.offsets, {}, torch::zeros({2, 3}, torch::kFloat64));
            }),
            "ShapeError: attention got a distance bias [2, 3] of type Double on cpu; it wants [2, 2 R - 1] with R at "
            "least 3, of type Float on cpu");
  EXPECT_EQ(
      message_of<graft::ShapeError>(call(x.q, x.offsets.to(torch::kInt32))),
      "ShapeError: attention got offsets [3] of type Int on cpu; it wants [N + 1] int64 on the CPU, without gaps");
}

TEST(Attention, RefusesAWindowThatLooksBothWays) {
  const Heads x = random_heads({3}, 1, 1, 2, torch::kFloat64);
  EXPECT_EQ(
      message_of<graft::OptionError>([&] { attention(x.q, x.k, x.v, x.offsets, {.window = 2}); }),
      "OptionError: attention's window is 2 without causal; choose 0 for none, or with causal the number of tokens "
      "that one may see");
}

TEST(Attention, RefusesASecondDerivative) {
  const Heads x = random_heads({3}, 1, 1, 2, torch::kFloat64);
  const torch::Tensor y = attention(x.q, x.k, x.v, x.offsets).sum();
  EXPECT_EQ(message_of<graft::StateError>([&] { torch::autograd::grad({y}, {x.q}, {}, true, /*create_graph=*/true); }),
            "StateError: attention has no second derivative; run backward with create_graph = false");
}

// ------------------------------------------------------------------------------------------------- cached_attention()

/// [T, G, d] packed -> [N, G, C, d], with rows that are not numbers behind each sequence.
torch::Tensor cache_of(const torch::Tensor& packed, const torch::Tensor& offsets, std::int64_t room) {
  const std::int64_t sequences = offsets.size(0) - 1;
  torch::Tensor cache = torch::full({sequences, packed.size(1), room, packed.size(2)}, NAN, packed.options());
  for (std::int64_t n = 0; n < sequences; ++n) {
    const auto first = offsets[n].item<std::int64_t>(), last = offsets[n + 1].item<std::int64_t>();
    cache[n].narrow(1, 0, last - first).copy_(packed.slice(0, first, last).transpose(0, 1));
  }
  return cache;
}

TEST_P(AttentionLevels, ACacheChangesNothing) {
  const SimdScope level(GetParam());
  torch::manual_seed(6);
  const torch::NoGradGuard no_grad;
  const std::vector<std::int64_t> held{70, 5, 1, 33};
  for (const auto& [type, tolerance] : std::vector<std::pair<torch::ScalarType, double>>{
           {torch::kFloat64, 1e-13}, {torch::kFloat32, 2e-5}, {torch::kBFloat16, 5e-2}}) {
    for (const std::int64_t window : {0, 1, 20}) {
      for (const std::vector<std::int64_t>& fresh :
           {std::vector<std::int64_t>{1, 1, 1, 1}, {70, 5, 1, 33}, {31, 0, 1, 9}, {0, 0, 0, 1}}) {
        const Heads x = random_heads(held, 6, 2, 20, type);
        const AttentionOptions options{.causal = true, .window = window, .scale = 0.3};
        const torch::Tensor expected = reference(x, options);
        std::vector<torch::Tensor> new_q, wanted;
        for (std::size_t n = 0; n < held.size(); ++n) {
          const auto end = x.offsets[static_cast<std::int64_t>(n) + 1].item<std::int64_t>();
          new_q.push_back(x.q.slice(0, end - fresh[n], end));
          wanted.push_back(expected.slice(0, end - fresh[n], end));
        }
        const torch::Tensor got =
            graft::cached_attention(torch::cat(new_q), cache_of(x.k, x.offsets, 73), cache_of(x.v, x.offsets, 73),
                                    offsets_of(fresh), torch::tensor(held, torch::kInt64), options);
        EXPECT_LE(largest_difference(got, torch::cat(wanted)), tolerance) << type << ", window " << window;
      }
    }
  }
}

TEST(CachedAttention, NamesWhatDoesNotFit) {
  const torch::Tensor q = torch::zeros({2, 2, 4}), keys = torch::zeros({1, 1, 8, 4});
  const auto call = [&](const torch::Tensor& k, std::int64_t held, const AttentionOptions& options = {}) {
    return [=] { graft::cached_attention(q, k, k, offsets_of({2}), torch::tensor({held}, torch::kInt64), options); };
  };
  EXPECT_EQ(
      message_of<graft::ShapeError>(call(torch::zeros({1, 3, 8, 4}), 2)),
      "ShapeError: attention to a cache got q [2, 2, 4], keys [1, 3, 8, 4], values [1, 3, 8, 4]; it wants q [T, H, "
      "d] and keys, values [N, G, C, d], where G divides H");
  const std::string fit =
      "ShapeError: attention to a cache: offsets must rise from 0 to the 2 tokens of q, and each length lie between a "
      "sequence's new tokens and the 8 rows of the cache";
  EXPECT_EQ(message_of<graft::ShapeError>(call(keys, 1)), fit);
  EXPECT_EQ(message_of<graft::ShapeError>(call(keys, 9)), fit);
  EXPECT_EQ(message_of<graft::OptionError>(call(keys, 2, {.dropout = 0.1})),
            "OptionError: attention to a cache has no dropout; set it to 0");
}

}  // namespace
