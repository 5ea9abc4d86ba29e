// Adapters combined by graft and by PEFT's add_weighted_adapter, and what they are made into.

#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/adapters/peft/combine.hpp"
#include "support/error_message.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft::combine_parity_test {
namespace {

// PEFT holds the roots of the weights in float32.
constexpr double tolerance = 1e-6;

class Combine : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    run_python("peft_combine.py", {directory_->path().string()});
  }
  static void TearDownTestSuite() { delete directory_; }

  static StoredAdapter stored(const std::string& name) { return StoredAdapter(*directory_ / name); }

  /// The updates must be equal; singular vectors may have the other sign.
  static void expect_equal(const std::vector<StoredLayer>& ours, const std::string& name, bool factors) {
    const StoredAdapter theirs = stored(name);
    ASSERT_EQ(ours.size(), theirs.layers().size()) << name;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const StoredLayer &a = ours[i], &b = theirs.layers()[i];
      EXPECT_EQ(a.path, b.path);
      EXPECT_LT((a.product() - b.product()).norm().item<double>(), tolerance * b.product().norm().item<double>())
          << name << " " << a.path;
      if (!factors) continue;
      EXPECT_TRUE(torch::allclose(a.A, b.A, tolerance, tolerance)) << name << " " << a.path;
      EXPECT_TRUE(torch::allclose(a.B, b.B, tolerance, tolerance)) << name << " " << a.path;
    }
  }

  static inline TemporaryDirectory* directory_ = nullptr;
  const std::vector<double> weights_ = {0.75, -0.5};
};

TEST_F(Combine, GivesPeftsNumbers) {
  const StoredAdapter x = stored("x"), y = stored("y");
  const std::vector<const StoredAdapter*> both = {&x, &y};
  expect_equal(combine_factors(both, weights_, mix_linear()).layers, "linear", true);
  expect_equal(combine_factors(both, weights_, mix_ties(0.5)).layers, "ties", true);
  expect_equal(combine_factors(both, weights_, mix_ties(0.5, SignElection::frequency)).layers, "ties_frequency", true);
  expect_equal(combine_factors(both, weights_, mix_magnitude_prune(0.5)).layers, "magnitude_prune", true);
  expect_equal(combine_cat(both, weights_).layers, "cat", true);
  expect_equal(combine_updates(both, weights_, mix_linear()).layers, "svd", false);
  expect_equal(combine_updates(both, weights_, mix_ties(0.5)).layers, "ties_svd", false);
  expect_equal(combine_updates(both, weights_, mix_magnitude_prune(0.5)).layers, "magnitude_prune_svd", false);
}

TEST_F(Combine, RandomThinningDrawsAsPeftDoes) {
  const SafetensorsFile file(*directory_ / "drawn.safetensors");
  std::map<std::string, torch::Tensor> drawn;
  for (const TensorInfo& info : file.tensors()) {
    drawn[info.name] = torch::empty(info.shape, torch::kFloat64);
    file.read(info, {static_cast<std::byte*>(drawn[info.name].data_ptr()), drawn[info.name].nbytes()});
  }
  torch::manual_seed(5);
  EXPECT_TRUE(torch::allclose(mix_dare_linear(0.5)({drawn["a"], drawn["b"]}, weights_), drawn["dare_linear"]));
  torch::manual_seed(5);
  EXPECT_TRUE(torch::allclose(mix_dare_ties(0.5)({drawn["a"], drawn["b"]}, weights_), drawn["dare_ties"]));
}

TEST_F(Combine, UnequalRanksAreSummedExactlyOrCut) {
  const StoredAdapter x = stored("x"), z = stored("z");
  const ComputedAdapter sum = combine_cat({&x, &z}, weights_);
  EXPECT_EQ(sum.config.r, 5);
  for (const StoredLayer& layer : sum.layers) {
    torch::Tensor expected = x.layers()[&layer - sum.layers.data()].product() * 0.75;
    if (layer.path == "query") expected = expected - z.layers()[0].product() * 0.5;
    EXPECT_TRUE(torch::allclose(layer.product(), expected)) << layer.path;
  }
  expect_equal(combine_updates({&x, &z}, weights_, mix_linear()).layers, "svd_z", false);
  EXPECT_EQ(error_message([&] {
              combine_factors({&x, &z}, weights_, mix_linear());
            }),
            "OptionError: factors are combined only where all ranks are equal; take the exact sum (cat) or a cut of it "
            "(svd)");
  EXPECT_EQ(error_message([&] { combine_cat({&x}, weights_); }),
            "OptionError: 1 adapters and 2 weights are to be combined; give one weight for each, and at least one");
  EXPECT_EQ(error_message([&] { combine_updates({&x}, {1.0}, mix_linear(), 99); }),
            "OptionError: rank is 99 for layer \"image\"; choose 1 to 4");
  EXPECT_EQ(error_message([] { mix_ties(1.5); }), "OptionError: density is 1.5; choose more than 0 and at most 1");
}

TEST_F(Combine, CompressingKeepsTheAskedEnergy) {
  const StoredAdapter x = stored("x");
  const ComputedAdapter all = compress(x, 1.0);
  for (std::size_t i = 0; i < all.layers.size(); ++i) {
    EXPECT_LE(all.layers[i].rank, 3);
    EXPECT_TRUE(torch::allclose(all.layers[i].product(), x.layers()[i].product()));
  }
  const ComputedAdapter some = compress(x, 0.7);
  bool smaller = false;
  for (std::size_t i = 0; i < some.layers.size(); ++i) {
    const auto full = x.layers()[i].product(), kept = some.layers[i].product();
    const double energy = std::pow(kept.norm().item<double>() / full.norm().item<double>(), 2);
    EXPECT_GE(energy, 0.7 - 1e-9);
    EXPECT_NEAR((full - kept).square().sum().item<double>(), full.square().sum().item<double>() * (1 - energy), 1e-9);
    smaller = smaller || some.layers[i].rank < 3;
  }
  EXPECT_TRUE(smaller);
  const TemporaryDirectory out;
  write_adapter(out / "a", some, x.others());
  const StoredAdapter back(out / "a");
  for (std::size_t i = 0; i < some.layers.size(); ++i) {
    EXPECT_TRUE(torch::allclose(back.layers()[i].product(), some.layers[i].product()));
  }
}

TEST_F(Combine, DifferencesAreThoseOfTheUpdates) {
  const StoredAdapter x = stored("x"), z = stored("z");
  const auto layers = difference(x, z);
  ASSERT_EQ(layers.size(), 3u);
  const StoredLayer& query = x.layers()[1];
  const torch::Tensor apart = query.product() - z.layers()[0].product();
  EXPECT_EQ(layers[1].path, "query");
  EXPECT_NEAR(layers[1].difference, apart.norm().item<double>(), 1e-9);
  EXPECT_NEAR(layers[1].norm_a, query.product().norm().item<double>(), 1e-9);
  EXPECT_NEAR(layers[1].cosine * layers[1].norm_a * layers[1].norm_b,
              (query.product() * z.layers()[0].product()).sum().item<double>(), 1e-9);
  const auto S = torch::linalg_svdvals(apart);
  ASSERT_EQ(layers[1].spectrum.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(layers[1].spectrum[i], S[i].item<double>(), 1e-9);
  EXPECT_EQ(layers[0].norm_b, 0.0);
  for (const LayerDifference& same : difference(x, x)) EXPECT_NEAR(same.difference, 0.0, 1e-9);
}

}  // namespace
}  // namespace graft::combine_parity_test
