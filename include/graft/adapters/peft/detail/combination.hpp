#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "graft/adapters/peft/combine.hpp"
#include "graft/core/regular_expression.hpp"
#include "graft/tensor/dtype.hpp"
#include "graft/tensor/state.hpp"

namespace graft::detail {

inline void check_density(double density) {
  if (!(density > 0.0 && density <= 1.0)) {
    throw OptionError(message("density is ", density, "; choose more than 0 and at most 1"));
  }
}

/// The largest values stay, in number the share `density` rounded down.
inline torch::Tensor keep_largest(const torch::Tensor& part, double density) {
  if (density >= 1.0) return part;
  const auto kept = static_cast<std::int64_t>(density * static_cast<double>(part.numel()));
  const torch::Tensor chosen = std::get<1>(part.abs().reshape(-1).topk(kept));
  return part * torch::zeros_like(part).reshape(-1).index_fill_(0, chosen, 1).view(part.sizes());
}

inline torch::Tensor keep_some(const torch::Tensor& part, double density) {
  return density >= 1.0 ? part : part * torch::bernoulli(torch::full_like(part, density)) / density;
}

inline torch::Tensor weighed(const std::vector<torch::Tensor>& parts, const std::vector<double>& weights) {
  std::vector<torch::Tensor> all;
  for (std::size_t i = 0; i < parts.size(); ++i) all.push_back(parts[i] * weights[i]);
  return torch::stack(all);
}

/// The mean, at each place, of the weighed values whose part has the elected sign there.
inline torch::Tensor elected_mean(const std::vector<torch::Tensor>& parts, const std::vector<double>& weights,
                                  SignElection election) {
  const torch::Tensor stacked = torch::stack(parts);
  const torch::Tensor votes = election == SignElection::total ? stacked.sum(0) : stacked.sign().sum(0);
  const torch::Tensor mask = stacked.sign() == torch::where(votes >= 0, 1, -1);
  return (weighed(parts, weights) * mask).sum(0) / mask.sum(0).clamp_min(1);
}

inline std::vector<torch::Tensor> each(std::vector<torch::Tensor> parts,
                                       const std::function<torch::Tensor(const torch::Tensor&)>& change) {
  for (torch::Tensor& part : parts) part = change(part);
  return parts;
}

/// The factors of a low-rank matrix left [m, k] right [k, n]: singular vectors and values, from k x k problems.
struct ThinSvd {
  torch::Tensor U, S, Vh;

  ThinSvd(const torch::Tensor& left, const torch::Tensor& right) {
    const auto [Q, R] = torch::linalg_qr(left);
    const auto [P, T] = torch::linalg_qr(right.t());
    const auto [u, s, vh] = torch::linalg_svd(R.mm(T.t()), /*full_matrices=*/false);
    U = Q.mm(u), S = s, Vh = vh.mm(P.t());
  }
};

/// Adapters side by side: which of them each layer is in.
class Combination {
 public:
  Combination(const std::vector<const StoredAdapter*>& adapters, const std::vector<double>& weights) {
    if (adapters.empty() || adapters.size() != weights.size()) {
      throw OptionError(message(adapters.size(), " adapters and ", weights.size(),
                                " weights are to be combined; give one weight for each, and at least one"));
    }
    for (std::size_t i = 0; i < adapters.size(); ++i) {
      const AdapterConfig& config = adapters[i]->config();
      if (!std::isfinite(weights[i])) throw OptionError(message("a weight is ", weights[i], "; give finite numbers"));
      if (config.use_dora || config.lora_bias) {
        throw OptionError(
            message(adapters[i]->path().string(), " is of DoRA or has a bias on B, which cannot be combined"));
      }
      for (const StoredLayer& layer : adapters[i]->layers()) {
        auto& here = layers_[layer.path];
        if (!here.empty() &&
            (here.front().first->rows() != layer.rows() || here.front().first->columns() != layer.columns() ||
             here.front().first->kind != layer.kind)) {
          throw OptionError(message("layer ", quoted(layer.path), " has other sizes in ", adapters[i]->path().string(),
                                    "; are the adapters of one base?"));
        }
        here.emplace_back(&layer, weights[i]);
        ranks_.insert(layer.rank);
      }
    }
    base_ = adapters.front()->config();
    metadata_ = adapters.front()->metadata();
    std::erase_if(metadata_, [&](const auto& entry) {
      return std::any_of(adapters.begin(), adapters.end(), [&](const StoredAdapter* other) {
        const auto found = other->metadata().find(entry.first);
        return found == other->metadata().end() || found->second != entry.second;
      });
    });
  }

  using Layer = std::vector<std::pair<const StoredLayer*, double>>;

  /// Makes each layer's A and B; the result's scale is 1.
  ComputedAdapter run(std::int64_t rank,
                      const std::function<std::pair<torch::Tensor, torch::Tensor>(const Layer&)>& make) {
    const torch::NoGradGuard no_grad;
    ComputedAdapter result{base_, {}, metadata_};
    result.config.target_modules = {};
    for (const auto& [path, here] : layers_) {
      StoredLayer layer = *here.front().first;
      std::tie(layer.A, layer.B) = make(here);
      layer.rank = layer.A.size(0), layer.scale = 1.0;
      if (layer.rank != rank) {
        result.config.rank_pattern["^" + regular_expression_of(path)] = layer.rank;
        result.config.alpha_pattern["^" + regular_expression_of(path)] = static_cast<double>(layer.rank);
      }
      result.config.target_modules.names.push_back(path);
      result.layers.push_back(std::move(layer));
    }
    result.config.r = rank;
    result.config.lora_alpha = static_cast<double>(rank);
    result.config.use_rslora = false;
    result.config.bias = AdapterBias::none;
    result.config.exclude_modules = {};
    result.config.layers_to_transform = {};
    result.config.layers_pattern = {};
    result.config.modules_to_save = {};
    return result;
  }

  const std::map<std::string, Layer>& layers() const { return layers_; }
  const std::set<std::int64_t>& ranks() const { return ranks_; }
  void clear_patterns() { base_.rank_pattern = {}, base_.alpha_pattern = {}; }

 private:
  std::map<std::string, Layer> layers_;
  std::set<std::int64_t> ranks_;
  AdapterConfig base_;
  std::map<std::string, std::string> metadata_;  // that all have alike
};

/// A and B of a layer in the shapes that its file has.
inline std::pair<torch::Tensor, torch::Tensor> shaped(const StoredLayer& like, torch::Tensor A, torch::Tensor B) {
  if (like.kind == StoredLayer::Kind::convolution) {
    std::vector<std::int64_t> a = like.A.sizes().vec(), b = like.B.sizes().vec();
    a[0] = b[1] = A.size(0);
    A = A.reshape(a), B = B.reshape(b);
  }
  return {A.to(like.A.scalar_type()).contiguous(), B.to(like.B.scalar_type()).contiguous()};
}

}  // namespace graft::detail
