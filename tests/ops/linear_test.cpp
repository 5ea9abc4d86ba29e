#include "graft/ops/linear.hpp"
#include "graft/ops/detail/base_product.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/error_message.hpp"
#include "support/gradcheck.hpp"

namespace linear_test {
namespace {

using graft::linear_group;
using graft::LinearPart;
using graft::LowRankTerm;
using graft::MatrixBackend;
using graft::Simd;
using graft::SimdScope;
using graft::WeightCache;

struct BackendScope {
  explicit BackendScope(MatrixBackend backend) : before(graft::matrix_backend()) { graft::set_matrix_backend(backend); }
  ~BackendScope() { graft::set_matrix_backend(before); }
  MatrixBackend before;
};

struct Layer {
  torch::Tensor x, weight, bias;
  std::vector<LowRankTerm> terms;

  std::vector<torch::Tensor> leaves() const {
    std::vector<torch::Tensor> all{x, weight, bias};
    for (const LowRankTerm& term : terms) all.insert(all.end(), {term.A, term.B});
    return all;
  }
};

torch::Tensor leaf(at::IntArrayRef sizes, torch::ScalarType type, double size = 1.0) {
  return (torch::randn(sizes, torch::kFloat64) * size).to(type).requires_grad_(true);
}

Layer random_layer(std::int64_t tokens, std::int64_t in, std::int64_t out, const std::vector<std::int64_t>& ranks,
                   torch::ScalarType type) {
  // Rows of about unit size, so that tolerances are units in the last place of 1.
  const double size = 1.0 / std::sqrt(double(in));
  Layer layer{leaf({tokens, in}, type), leaf({out, in}, type, size), leaf({out}, type), {}};
  for (const std::int64_t r : ranks) layer.terms.push_back({leaf({r, in}, type, size), leaf({out, r}, type), 0.7, 0.0});
  return layer;
}

/// y = x W^T + b + sum of scale x A^T B^T from LibTorch's operations, in float64.
torch::Tensor reference(const Layer& layer) {
  const auto wide = [](const torch::Tensor& t) { return t.to(torch::kFloat64); };
  torch::Tensor y = torch::linear(wide(layer.x), wide(layer.weight), wide(layer.bias));
  for (const LowRankTerm& term : layer.terms) {
    torch::Tensor update = torch::linear(torch::linear(wide(layer.x), wide(term.A)), wide(term.B)) * term.scale;
    if (term.rows) {
      torch::Tensor wanted = torch::zeros({layer.x.size(0), 1}, torch::kFloat64);
      if (term.rows->indices.defined()) {
        wanted.index_fill_(0, term.rows->indices, 1.0);
      } else {
        wanted.narrow(0, term.rows->first, term.rows->count).fill_(1.0);
      }
      update = update * wanted;
    }
    y = y + update;
  }
  return y;
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return a.numel() == 0 ? 0.0 : (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>();
}

void expect_equal_to_reference(const Layer& layer, double tolerance) {
  const torch::Tensor expected = reference(layer);
  const torch::Tensor y = graft::linear(layer.x, layer.weight, layer.bias, layer.terms);
  ASSERT_EQ(y.sizes(), expected.sizes());
  ASSERT_EQ(y.scalar_type(), layer.x.scalar_type());
  EXPECT_LE(largest_difference(y, expected), tolerance);
  const torch::Tensor w = torch::randn_like(y);
  const auto grads = torch::autograd::grad({y}, layer.leaves(), {w});
  const auto expected_grads = torch::autograd::grad({expected}, layer.leaves(), {w.to(torch::kFloat64)});
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const double size = 1 + (expected_grads[i].numel() == 0 ? 0 : expected_grads[i].abs().max().item<double>());
    EXPECT_LE(largest_difference(grads[i], expected_grads[i]), tolerance * size) << "input " << i;
  }
}

class LinearLevels : public ::testing::TestWithParam<Simd> {};

TEST_P(LinearLevels, EqualsFloat64Operations) {
  const SimdScope level(GetParam());
  torch::manual_seed(1);
  for (const auto backend : {MatrixBackend::torch, MatrixBackend::onednn, MatrixBackend::graft_float32_onednn_bfloat16,
                             MatrixBackend::measured}) {
    const BackendScope pin(backend);
    for (const std::int64_t tokens : {0, 1, 5, 131}) {
      for (const auto& [in, out] :
           std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {7, 13}, {64, 96}, {200, 65}, {1100, 30}}) {
        const std::vector<std::int64_t> ranks =
            in == 64 ? std::vector<std::int64_t>{8, 3} : std::vector<std::int64_t>{1};
        // Sums of a few hundred products of size 1: some units in the last place of each type;
        // bfloat16 rounds results of up to 8 twice, by up to 0.016 each, and 0.7 x A^T B^T on the way.
        expect_equal_to_reference(random_layer(tokens, in, out, ranks, torch::kFloat64), 1e-13);
        expect_equal_to_reference(random_layer(tokens, in, out, ranks, torch::kFloat32), 2e-5);
        expect_equal_to_reference(random_layer(tokens, in, out, ranks, torch::kBFloat16), 1e-1);
        expect_equal_to_reference(random_layer(tokens, in, out, {}, torch::kFloat32), 2e-5);
      }
    }
  }
}

TEST_P(LinearLevels, AnUpdateOfSomeRowsEqualsFloat64Operations) {
  const SimdScope level(GetParam());
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    torch::manual_seed(7);
    Layer layer = random_layer(37, 50, 33, {3, 5, 2, 4}, type);
    const auto rows = [](graft::RowSet set) { return std::make_shared<const graft::RowSet>(std::move(set)); };
    layer.terms[0].rows = rows({.first = 4, .count = 20});
    layer.terms[1].rows = rows({.count = 4, .indices = torch::tensor({0, 3, 24, 36}, torch::kLong)});
    layer.terms[2].rows = rows({.first = 5, .count = 0});
    expect_equal_to_reference(layer, type == torch::kFloat64 ? 1e-12 : 1e-5);
  }
}

/// A layer of `terms` updates with dropout against LibTorch's operations on the masked input.
void expect_dropout_equals_a_masked_input(torch::ScalarType type, std::size_t terms) {
  const std::int64_t tokens = 57, in = 70;
  // The masks are read back from layers whose update is the identity: y = dropout(x).
  const torch::Tensor eye = torch::eye(in, torch::dtype(type)), zero = torch::zeros({in, in}, torch::dtype(type));
  const torch::Tensor ones = torch::ones({tokens, in}, torch::dtype(type));
  const LowRankTerm identity{eye, eye, 1.0, 0.3};
  torch::manual_seed(2);
  std::vector<torch::Tensor> masks;
  for (std::size_t i = 0; i < terms; ++i) masks.push_back(graft::linear(ones, zero, {}, {&identity, 1}).detach());

  Layer layer = random_layer(tokens, in, 33, std::vector<std::int64_t>(terms, 5), type);
  torch::Tensor expected = torch::linear(layer.x, layer.weight, layer.bias);
  for (std::size_t i = 0; i < terms; ++i) {
    EXPECT_TRUE(((masks[i] == 0) | ((masks[i] - 1 / 0.7).abs() < 1e-4)).all().item<bool>());
    LowRankTerm& term = layer.terms[i];
    term.dropout = 0.3;
    expected = expected + torch::linear(torch::linear(layer.x * masks[i], term.A), term.B) * term.scale;
  }
  torch::manual_seed(2);
  const torch::Tensor y = graft::linear(layer.x, layer.weight, layer.bias, layer.terms);
  const double tolerance = type == torch::kFloat64 ? 1e-12 : 2e-4;
  EXPECT_LE(largest_difference(y, expected), tolerance);
  const torch::Tensor w = torch::randn_like(y);
  const auto grads = torch::autograd::grad({y}, layer.leaves(), {w});
  const auto expected_grads = torch::autograd::grad({expected}, layer.leaves(), {w});
  for (std::size_t i = 0; i < grads.size(); ++i)
    EXPECT_LE(largest_difference(grads[i], expected_grads[i]), 10 * tolerance) << i;
}

TEST_P(LinearLevels, DropoutEqualsAMaskedInput) {
  const SimdScope level(GetParam());
  for (const auto backend : {MatrixBackend::torch, MatrixBackend::graft_float32_onednn_bfloat16}) {
    const BackendScope pin(backend);
    for (const std::size_t terms : {1, 2}) {
      expect_dropout_equals_a_masked_input(torch::kFloat32, terms);
      expect_dropout_equals_a_masked_input(torch::kFloat64, terms);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, LinearLevels, ::testing::Values(Simd::baseline, Simd::avx2, Simd::avx512));

TEST(Linear, GradientEqualsDifferences) {
  torch::manual_seed(3);
  const Layer layer = random_layer(4, 5, 3, {2, 1}, torch::kFloat64);
  for (const double dropout : {0.0, 0.4}) {
    const auto f = [&](const std::vector<torch::Tensor>& in) {
      torch::manual_seed(4);
      const std::vector<LowRankTerm> terms{{in[3], in[4], 0.5, dropout}, {in[5], in[6], 2.0, 0.0}};
      return graft::linear(in[0], in[1], in[2], terms);
    };
    EXPECT_EQ(gradient_difference(f, layer.leaves()), "");
  }
}

void expect_group_equals_its_layers(torch::ScalarType type, double tolerance) {
  torch::manual_seed(5);
  const torch::Tensor x = leaf({5, 9, 10}, type);
  std::vector<Layer> layers;
  std::vector<LinearPart> parts;
  for (const std::int64_t out : {4, 7, 5}) layers.push_back(random_layer(1, 10, out, {2}, type));
  layers[2].terms.clear();
  for (const Layer& layer : layers) parts.push_back({layer.weight, layer.bias, layer.terms, nullptr});
  parts[1].bias.reset();
  const auto ys = linear_group(x, parts);
  torch::Tensor together, alone;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const torch::Tensor y = graft::linear(x, parts[i].weight, parts[i].bias, parts[i].terms);
    EXPECT_TRUE(torch::equal(ys[i], y));
    const torch::Tensor w = torch::randn_like(y);
    together = i == 0 ? (ys[i] * w).sum() : together + (ys[i] * w).sum();
    alone = i == 0 ? (y * w).sum() : alone + (y * w).sum();
  }
  std::vector<torch::Tensor> leaves{x};
  for (const LinearPart& part : parts) {
    leaves.push_back(part.weight);
    if (part.bias.defined()) leaves.push_back(part.bias);
    for (const LowRankTerm& term : part.terms) leaves.insert(leaves.end(), {term.A, term.B});
  }
  const auto a = torch::autograd::grad({together}, leaves), b = torch::autograd::grad({alone}, leaves);
  for (std::size_t i = 0; i < leaves.size(); ++i) EXPECT_LE(largest_difference(a[i], b[i]), tolerance) << i;
}

TEST(Linear, GroupEqualsItsLayers) {
  for (const auto backend :
       {MatrixBackend::torch, MatrixBackend::onednn, MatrixBackend::graft_float32_onednn_bfloat16}) {
    const BackendScope pin(backend);
    expect_group_equals_its_layers(torch::kFloat64, 1e-13);
    expect_group_equals_its_layers(torch::kFloat32, 1e-5);
  }
}

TEST(Linear, OutputOfAGroupMayGoUnused) {
  torch::manual_seed(6);
  const torch::Tensor x = leaf({3, 4}, torch::kFloat32);
  const Layer a = random_layer(1, 4, 2, {1}, torch::kFloat32), b = random_layer(1, 4, 2, {1}, torch::kFloat32);
  const LinearPart parts[] = {{a.weight, a.bias, a.terms, nullptr}, {b.weight, b.bias, b.terms, nullptr}};
  linear_group(x, parts)[1].sum().backward();
  EXPECT_FALSE(a.weight.grad().defined());
  EXPECT_TRUE(b.weight.grad().defined());
  EXPECT_TRUE(b.terms[0].A.grad().defined());
}

TEST(Linear, FrozenLayerGetsNoGradientAndKeepsNoGraph) {
  Layer layer = random_layer(3, 4, 5, {2}, torch::kFloat32);
  for (torch::Tensor t : {layer.weight, layer.bias}) t.requires_grad_(false);
  graft::linear(layer.x, layer.weight, layer.bias, layer.terms).sum().backward();
  EXPECT_FALSE(layer.weight.grad().defined());
  EXPECT_TRUE(layer.terms[0].B.grad().defined());
  EXPECT_FALSE(graft::linear(layer.x.detach(), layer.weight, layer.bias).requires_grad());
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(graft::linear(layer.x, layer.weight, layer.bias, layer.terms).requires_grad());
}

TEST(Linear, Float32FactorsOfABfloat16LayerGetFloat32Gradients) {
  torch::manual_seed(7);
  Layer layer = random_layer(40, 64, 48, {8}, torch::kBFloat16);
  layer.terms[0].A = leaf({8, 64}, torch::kFloat32, 0.125);
  layer.terms[0].B = leaf({48, 8}, torch::kFloat32);
  expect_equal_to_reference(layer, 5e-2);
  graft::linear(layer.x, layer.weight, layer.bias, layer.terms).sum().backward();
  EXPECT_EQ(layer.terms[0].A.grad().scalar_type(), torch::kFloat32);
}

TEST_P(LinearLevels, ABfloat16WeightIsComputedWithInFloat32) {
  const SimdScope level(GetParam());
  torch::manual_seed(9);
  // Either side of the few rows that have kernels of their own; the last weight is widened in pieces.
  const auto pieces = graft::detail::widened_at_once;
  for (const auto& [tokens, in, out] : std::vector<std::array<std::int64_t, 3>>{
           {0, 7, 13}, {1, 1100, 30}, {3, 70, 33}, {16, 64, 96}, {32, 33, 5}, {131, 200, 65}, {40, 40, pieces / 32}}) {
    Layer layer = random_layer(tokens, in, out, {3}, torch::kFloat32);
    layer.weight = layer.weight.detach().to(torch::kBFloat16).requires_grad_(out < 50);
    const torch::Tensor expected = reference(layer);
    const torch::Tensor y = graft::linear(layer.x, layer.weight, layer.bias, layer.terms);
    ASSERT_EQ(y.scalar_type(), torch::kFloat32);
    // Float32's rounding, where bfloat16's would be 1e-2.
    EXPECT_LE(largest_difference(y, expected), 2e-5);
    const torch::Tensor dy = torch::randn_like(y);
    const auto dx = torch::autograd::grad({y}, {layer.x, layer.terms[0].A}, {dy}, /*retain_graph=*/true);
    const auto expected_dx =
        torch::autograd::grad({expected}, {layer.x, layer.terms[0].A}, {dy.to(torch::kFloat64)}, /*retain_graph=*/true);
    for (std::size_t i = 0; i < dx.size(); ++i) {
      const double size = 1 + (dx[i].numel() == 0 ? 0 : expected_dx[i].abs().max().item<double>());
      EXPECT_LE(largest_difference(dx[i], expected_dx[i]), 2e-5 * size) << tokens << " tokens, " << in << " to " << out;
    }
    if (!layer.weight.requires_grad()) continue;
    // A trained one gets a gradient of its own type.
    const torch::Tensor dw = torch::autograd::grad({y}, {layer.weight}, {dy})[0];
    const torch::Tensor expected_dw = torch::autograd::grad({expected}, {layer.weight}, {dy.to(torch::kFloat64)})[0];
    EXPECT_EQ(dw.scalar_type(), torch::kBFloat16);
    EXPECT_LE(largest_difference(dw, expected_dw), 1e-2 * (1 + expected_dw.abs().max().item<double>()));
  }
}

TEST(Linear, TakesStridedInput) {
  const Layer layer = random_layer(1, 6, 4, {2}, torch::kFloat32);
  const torch::Tensor x = torch::randn({6, 9}).t();
  EXPECT_TRUE(torch::equal(graft::linear(x, layer.weight, layer.bias, layer.terms),
                           graft::linear(x.contiguous(), layer.weight, layer.bias, layer.terms)));
}

TEST(Linear, NoticesAnInputChangedBeforeBackward) {
  const Layer layer = random_layer(3, 4, 5, {1}, torch::kFloat32);
  torch::Tensor x = layer.x.detach().clone();
  const torch::Tensor y = graft::linear(x, layer.weight, layer.bias, layer.terms);
  x.add_(1);
  EXPECT_THROW(y.sum().backward(), c10::Error);
}

TEST(WeightCache, FollowsTheWeight) {
  const BackendScope pin(MatrixBackend::onednn);
  torch::manual_seed(8);
  torch::Tensor weight = torch::randn({48, 32}) / 6;
  const torch::Tensor x = leaf({40, 32}, torch::kFloat32);  // more than few rows, which read the weight as it lies
  const auto cache = std::make_shared<WeightCache>();
  const auto check = [&](const torch::Tensor& w) {
    const torch::Tensor y = graft::linear(x, w, {}, {}, cache);
    EXPECT_LE(largest_difference(y, x.mm(w.t())), 1e-5);
    const auto grad = torch::autograd::grad({y.sum()}, {x})[0];
    EXPECT_LE(largest_difference(grad, w.sum(0).expand_as(x)), 1e-4);
  };
  EXPECT_EQ(cache->bytes(), 0);
  check(weight);
  const std::int64_t bytes = cache->bytes();
  EXPECT_GE(bytes, 2 * 48 * 32 * 4);
  weight.add_(1);  // the version counter moves
  check(weight);
  check(torch::randn({48, 32}) / 6);  // another storage
  EXPECT_EQ(cache->bytes(), bytes);
  cache->clear();
  EXPECT_EQ(cache->bytes(), 0);
  check(weight.requires_grad_(true));
  EXPECT_EQ(cache->bytes(), 0) << "a trained weight changes at every step and is not copied";
}

TEST(MatrixBackend, IsOfTheProcessorUntilChosen) {
  EXPECT_NE(graft::matrix_backend(), MatrixBackend::measured) << "equal runs would differ in their bits";
}

TEST(MatrixBackend, ReportNamesWhatWasMeasured) {
  const BackendScope measure(MatrixBackend::measured);
  const Layer layer = random_layer(50, 24, 40, {}, torch::kFloat32);
  graft::linear(layer.x, layer.weight, layer.bias);
  if (at::hasMKLDNN()) {
    EXPECT_NE(graft::matrix_backend_report().find("tokens <= 64, 24 -> 40, Float, trained"), std::string::npos)
        << graft::matrix_backend_report();
  }
}

TEST(Linear, RefusesWhatDoesNotFit) {
  const Layer layer = random_layer(3, 4, 5, {2}, torch::kFloat32);
  const LowRankTerm& term = layer.terms[0];
  EXPECT_EQ(
      error_message([&] {
        graft::linear(torch::ones({3, 5}), layer.weight, layer.bias);
      }),
      "ShapeError: input of a linear layer is [3, 5], its weight [5, 4], its bias [5]; the last size of the input "
      "must be the last of the weight");
  EXPECT_EQ(error_message([&] { graft::linear(layer.x.to(torch::kFloat64), layer.weight); }),
            "ShapeError: input of a linear layer is of type Double, its weight Float; convert one of them");
  const LowRankTerm wrong{term.B, term.A, 1.0, 0.0};
  EXPECT_EQ(error_message([&] {
              graft::linear(layer.x, layer.weight, layer.bias, {&wrong, 1});
            }),
            "ShapeError: a low-rank update has A [5, 2] and B [2, 4] for a weight [5, 4]; it wants A [r, in] and B "
            "[out, r]");
  const LowRankTerm certain{term.A, term.B, 1.0, 1.0};
  EXPECT_EQ(error_message([&] {
              graft::linear(layer.x, layer.weight, layer.bias, {&certain, 1});
            }),
            "OptionError: dropout is 1; choose a chance from 0 up to, but not, 1");
}

TEST(Linear, RefusesASecondDerivative) {
  const Layer layer = random_layer(3, 4, 5, {1}, torch::kFloat64);
  const torch::Tensor y = graft::linear(layer.x, layer.weight, layer.bias, layer.terms).sum();
  EXPECT_EQ(error_message([&] { torch::autograd::grad({y}, {layer.x}, {}, true, /*create_graph=*/true); }),
            "StateError: linear has no second derivative; run backward with create_graph = false");
}

TEST(Linear, KeepsItsInputOnlyWhereAGradientNeedsIt) {
  const auto x = torch::randn({3, 4}), weight = torch::randn({2, 4});
  const std::vector<LowRankTerm> terms{{torch::randn({1, 4}), torch::randn({2, 1}).requires_grad_(true), 1.0, 0.0}};
  const torch::Tensor kept = x.clone();
  const torch::Tensor y = graft::linear(kept, weight, {}, terms);
  kept.zero_();  // no error in backward: A is frozen, so that x is not asked for
  y.sum().backward();
  const torch::Tensor low = torch::linear(x, terms[0].A);
  EXPECT_LE(largest_difference(terms[0].B.grad(), low.sum(0).unsqueeze(0).expand({2, 1})), 1e-6);
}

TEST(Linear, RowsOfAnUpdateThatTheInputLacksAreRefused) {
  const auto x = torch::randn({3, 4}), weight = torch::randn({2, 4});
  std::vector<LowRankTerm> terms{{torch::randn({1, 4}), torch::randn({2, 1}), 1.0, 0.0}};
  terms[0].rows = std::make_shared<const graft::RowSet>(graft::RowSet{.first = 2, .count = 2});
  EXPECT_EQ(error_message([&] { (void)graft::linear(x, weight, {}, terms); }),
            "ShapeError: a low-rank update is for rows 2 to 4 of an input that has 3");
}

}  // namespace
}  // namespace linear_test
