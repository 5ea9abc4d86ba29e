#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "graft/adapters/peft/stored.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// One tensor made of several of one shape, each with a weight.
using Mix = std::function<torch::Tensor(const std::vector<torch::Tensor>& parts, const std::vector<double>& weights)>;

/// How TIES finds the sign that a value gets: by the sum of the parts' values, or by how many have it.
enum class SignElection { total, frequency };

/// The weighed sum. Source: Ilharco et al., arXiv:2212.04089.
Mix mix_linear();
/// The same of the `density` share of each part's values that are largest, in (0, 1]; others are 0.
Mix mix_magnitude_prune(double density);
/// The mean of those among them that have the elected sign. Source: Yadav et al., TIES, arXiv:2306.01708.
Mix mix_ties(double density, SignElection election = SignElection::total);
/// The weighed sum of parts of which a random `density` share is kept and divided by it; drawn from LibTorch's
/// generator. Source: Yu et al., DARE, arXiv:2311.03099.
Mix mix_dare_linear(double density);
/// mix_ties() of parts thinned as mix_dare_linear() does.
Mix mix_dare_ties(double density, SignElection election = SignElection::total);

/// An adapter of LoRA that was computed, without a file yet.
struct ComputedAdapter {
  AdapterConfig config;
  std::vector<StoredLayer> layers;
  std::map<std::string, std::string> metadata = {};  ///< of the weights' file: what all adapters it is made of say
};

/// What PEFT's add_weighted_adapter makes of several adapters of LoRA, without their heads and biases: alpha is the
/// rank, so that the scale is 1; a layer that only some have counts those. Weights may be negative.
/// Throw OptionError for no adapter, another number of weights, a weight that is not finite, layers whose shapes
/// differ, an adapter of DoRA or with a bias on B, ranks that must be equal and are not, a rank outside a layer's
/// range.

/// A and B apart, each part times the root of |weight scale|: PEFT's "linear", "ties", "dare_linear", "dare_ties" and
/// "magnitude_prune". Of several adapters mix_linear() is NOT the sum of their updates: there are cross terms.
ComputedAdapter combine_factors(const std::vector<const StoredAdapter*>& adapters, const std::vector<double>& weights,
                                const Mix& mix);

/// The exact weighed sum of the updates, of the sum of the ranks: PEFT's "cat".
ComputedAdapter combine_cat(const std::vector<const StoredAdapter*>& adapters, const std::vector<double>& weights);

/// `mix` of the updates B A themselves, cut to `rank` by SVD (0: the largest rank of the adapters): PEFT's "svd",
/// "ties_svd", ...
ComputedAdapter combine_updates(const std::vector<const StoredAdapter*>& adapters, const std::vector<double>& weights,
                                const Mix& mix, std::int64_t rank = 0);

/// The adapter with each layer's update cut by SVD to the lowest rank that keeps the share `energy`, in (0, 1], of the
/// sum of its squared singular values. A dense matrix of the layer's size is never made.
ComputedAdapter compress(const StoredAdapter& adapter, double energy);

/// The adapter, and what it holds in full, with every number in another format; rounded to nearest.
std::pair<ComputedAdapter, std::vector<std::pair<std::string, torch::Tensor>>> convert(const StoredAdapter& adapter,
                                                                                       torch::ScalarType type);

/// How two adapters differ in one layer.
struct LayerDifference {
  std::string path;
  double norm_a = 0;                  ///< of a's update, Frobenius; 0 if it has none for the layer
  double norm_b = 0;                  ///< the same of b
  double difference = 0;              ///< of their difference
  double cosine = 0;                  ///< of the angle between the two; 0 where one is 0
  std::vector<double> spectrum = {};  ///< singular values of the difference, falling
};

/// Every layer of either, by path. DoRA is refused with OptionError: its update is known only with the base.
std::vector<LayerDifference> difference(const StoredAdapter& a, const StoredAdapter& b);

/// Writes an adapter's directory. `others` go with it under their names: heads of an adapter that was changed.
/// Throws as write_adapter_dir() does.
void write_adapter(const std::filesystem::path& directory, const ComputedAdapter& adapter,
                   const std::vector<std::pair<std::string, torch::Tensor>>& others = {}, bool replace = false);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/peft/combine-inl.hpp"
#endif
