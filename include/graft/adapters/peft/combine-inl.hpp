#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "graft/adapters/peft/combine.hpp"
#include "graft/adapters/peft/detail/combination.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/io/peft_names.hpp"

namespace graft {

GRAFT_INLINE Mix mix_linear() {
  return [](const auto& parts, const auto& weights) { return detail::weighed(parts, weights).sum(0); };
}

GRAFT_INLINE Mix mix_magnitude_prune(double density) {
  detail::check_density(density);
  return [density](const auto& parts, const auto& weights) {
    return detail::weighed(detail::each(parts, [&](const auto& part) { return detail::keep_largest(part, density); }),
                           weights)
        .sum(0);
  };
}

GRAFT_INLINE Mix mix_ties(double density, SignElection election) {
  detail::check_density(density);
  return [density, election](const auto& parts, const auto& weights) {
    return detail::elected_mean(
        detail::each(parts, [&](const auto& part) { return detail::keep_largest(part, density); }), weights, election);
  };
}

GRAFT_INLINE Mix mix_dare_linear(double density) {
  detail::check_density(density);
  return [density](const auto& parts, const auto& weights) {
    return detail::weighed(detail::each(parts, [&](const auto& part) { return detail::keep_some(part, density); }),
                           weights)
        .sum(0);
  };
}

GRAFT_INLINE Mix mix_dare_ties(double density, SignElection election) {
  detail::check_density(density);
  return [density, election](const auto& parts, const auto& weights) {
    return detail::elected_mean(detail::each(parts, [&](const auto& part) { return detail::keep_some(part, density); }),
                                weights, election);
  };
}

GRAFT_INLINE ComputedAdapter combine_factors(const std::vector<const StoredAdapter*>& adapters,
                                             const std::vector<double>& weights, const Mix& mix) {
  detail::Combination all(adapters, weights);
  if (all.ranks().size() != 1) {
    throw OptionError(
        "factors are combined only where all ranks are equal; take the exact sum (cat) or a cut of it (svd)");
  }
  all.clear_patterns();
  return all.run(*all.ranks().begin(), [&](const detail::Combination::Layer& layer) {
    std::vector<torch::Tensor> As, Bs;
    std::vector<double> for_A, for_B;
    for (const auto& [stored, weight] : layer) {
      const double share = weight * stored->scale;
      for_B.push_back(std::sqrt(std::abs(share)));
      for_A.push_back(share >= 0 ? for_B.back() : -for_B.back());
      As.push_back(stored->A), Bs.push_back(stored->B);
    }
    const torch::Tensor A = mix(As, for_A);
    return std::pair(A.to(As[0].scalar_type()), mix(Bs, for_B).to(Bs[0].scalar_type()));
  });
}

GRAFT_INLINE ComputedAdapter combine_cat(const std::vector<const StoredAdapter*>& adapters,
                                         const std::vector<double>& weights) {
  detail::Combination all(adapters, weights);
  all.clear_patterns();
  std::int64_t widest = 0;
  for (const auto& [path, layer] : all.layers()) {
    std::int64_t rank = 0;
    for (const auto& [stored, weight] : layer) rank += stored->rank;
    widest = std::max(widest, rank);
  }
  return all.run(widest, [](const detail::Combination::Layer& layer) {
    std::vector<torch::Tensor> As, Bs;
    for (const auto& [stored, weight] : layer) {
      As.push_back(stored->A * (weight * stored->scale));
      Bs.push_back(stored->B);
    }
    return std::pair(torch::cat(As, 0), torch::cat(Bs, 1));
  });
}

GRAFT_INLINE ComputedAdapter combine_updates(const std::vector<const StoredAdapter*>& adapters,
                                             const std::vector<double>& weights, const Mix& mix, std::int64_t rank) {
  detail::Combination all(adapters, weights);
  all.clear_patterns();
  if (rank == 0) rank = *all.ranks().rbegin();
  for (const auto& [path, layer] : all.layers()) {
    const std::int64_t largest = std::min(layer.front().first->rows(), layer.front().first->columns());
    if (rank < 1 || rank > largest) {
      throw OptionError(message("rank is ", rank, " for layer ", quoted(path), "; choose 1 to ", largest));
    }
  }
  return all.run(rank, [&](const detail::Combination::Layer& layer) {
    std::vector<torch::Tensor> updates;
    std::vector<double> shares;
    for (const auto& [stored, weight] : layer) {
      updates.push_back(stored->product());
      shares.push_back(weight);
    }
    const auto [U, S, Vh] = torch::linalg_svd(mix(updates, shares), /*full_matrices=*/false);
    return detail::shaped(*layer.front().first, Vh.narrow(0, 0, rank), U.narrow(1, 0, rank) * S.narrow(0, 0, rank));
  });
}

GRAFT_INLINE ComputedAdapter compress(const StoredAdapter& adapter, double energy) {
  if (!(energy > 0.0 && energy <= 1.0)) {
    throw OptionError(message("energy is ", energy, "; choose more than 0 and at most 1"));
  }
  detail::Combination all({&adapter}, {1.0});
  all.clear_patterns();
  ComputedAdapter result = all.run(0, [&](const detail::Combination::Layer& layer) {
    const StoredLayer& stored = *layer.front().first;
    const detail::ThinSvd svd(stored.B.flatten(1).to(torch::kFloat64) * stored.scale,
                              stored.A.flatten(1).to(torch::kFloat64));
    const torch::Tensor kept = svd.S.square().cumsum(0);
    const double wanted = energy * kept[-1].item<double>() * (1 - 1e-12);  // a sum of all is not to miss itself
    const std::int64_t rank = std::min<std::int64_t>(1 + (kept < wanted).sum().item<std::int64_t>(), stored.rank);
    const torch::Tensor root = svd.S.narrow(0, 0, rank).sqrt();
    return detail::shaped(stored, svd.Vh.narrow(0, 0, rank) * root.unsqueeze(1), svd.U.narrow(1, 0, rank) * root);
  });
  std::int64_t widest = 0;
  for (const StoredLayer& layer : result.layers) widest = std::max(widest, layer.rank);
  result.config.r = widest;
  result.config.lora_alpha = static_cast<double>(widest);
  std::erase_if(result.config.rank_pattern, [&](const auto& entry) { return entry.second == widest; });
  std::erase_if(result.config.alpha_pattern,
                [&](const auto& entry) { return entry.second == static_cast<double>(widest); });
  result.config.modules_to_save = adapter.config().modules_to_save;
  result.config.bias = adapter.config().bias;
  return result;
}

GRAFT_INLINE std::pair<ComputedAdapter, std::vector<std::pair<std::string, torch::Tensor>>> convert(
    const StoredAdapter& adapter, torch::ScalarType type) {
  ComputedAdapter result{adapter.config(), adapter.layers(), adapter.metadata()};
  // By whole paths, since a written file has its keys in another order.
  PathValues<double> alphas(result.config.alpha_pattern);
  result.config.rank_pattern = {}, result.config.alpha_pattern = {};
  for (StoredLayer& layer : result.layers) {
    const std::string key = "^" + regular_expression_of(layer.path);
    if (layer.rank != result.config.r) result.config.rank_pattern[key] = layer.rank;
    if (const auto alpha = alphas.find(layer.path)) result.config.alpha_pattern[key] = *alpha;
    for (torch::Tensor* tensor : {&layer.A, &layer.B, &layer.bias, &layer.magnitude}) {
      if (tensor->defined()) *tensor = tensor->to(type);
    }
  }
  auto others = adapter.others();
  for (auto& [name, tensor] : others) tensor = tensor.to(type);
  return {std::move(result), std::move(others)};
}

GRAFT_INLINE std::vector<LayerDifference> difference(const StoredAdapter& a, const StoredAdapter& b) {
  const detail::Combination all({&a, &b}, {1.0, -1.0});
  std::vector<LayerDifference> differences;
  for (const auto& [path, layer] : all.layers()) {
    LayerDifference result{path};
    std::vector<torch::Tensor> lefts, rights;
    for (const auto& [stored, sign] : layer) {
      lefts.push_back(stored->B.flatten(1).to(torch::kFloat64) * (stored->scale * sign));
      rights.push_back(stored->A.flatten(1).to(torch::kFloat64));
      (sign > 0 ? result.norm_a : result.norm_b) = detail::product_norm(*stored);
    }
    const torch::Tensor S = detail::ThinSvd(torch::cat(lefts, 1), torch::cat(rights, 0)).S;
    result.difference = S.norm().item<double>();
    if (result.norm_a > 0 && result.norm_b > 0) {
      result.cosine =
          (result.norm_a * result.norm_a + result.norm_b * result.norm_b - result.difference * result.difference) /
          (2 * result.norm_a * result.norm_b);
    }
    for (std::int64_t i = 0; i < S.size(0); ++i) result.spectrum.push_back(S[i].item<double>());
    differences.push_back(std::move(result));
  }
  return differences;
}

GRAFT_INLINE void write_adapter(const std::filesystem::path& directory, const ComputedAdapter& adapter,
                                const std::vector<std::pair<std::string, torch::Tensor>>& others, bool replace) {
  NamedTensors tensors;
  std::set<std::string> adapted;
  for (const StoredLayer& layer : adapter.layers) {
    const bool embedding = layer.kind == StoredLayer::Kind::embedding;
    const auto put = [&](const char* key, const torch::Tensor& tensor) {
      if (tensor.defined()) tensors.emplace_back(layer.path + "." + key, tensor);
    };
    put(embedding ? peft_names::lora_embedding_A : peft_names::lora_A, layer.A);
    put(embedding ? peft_names::lora_embedding_B : peft_names::lora_B, layer.B);
    put(peft_names::lora_B_bias, layer.bias);
    put(peft_names::magnitude, layer.magnitude);
    adapted.insert(layer.path);
  }
  for (const auto& [name, tensor] : others) tensors.emplace_back(detail::bias_key(name, adapted), tensor);
  const detail::StoredBytes stored(tensors);
  write_adapter_dir(directory, adapter.config, stored.bytes, {.metadata = adapter.metadata, .replace = replace});
}

}  // namespace graft
