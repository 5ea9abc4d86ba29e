#pragma once

#include <map>
#include <string>
#include <utility>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/tensor/fingerprint.hpp"

namespace graft::detail {

/// Names in the metadata of an adapter's weights.
inline constexpr const char* base_key = "graft.base";
inline constexpr const char* data_key = "graft.data";

/// What tells one base from another for an adapter: the weights of its layers, without any adapter in them. They count
/// as float32, so that it does not matter in which type a base is stored or held.
class BaseFingerprint {
 public:
  /// `weight` as the adapter's shapes want it: [out, in] for a linear layer.
  void add(const std::string& path, const torch::Tensor& weight) {
    weights_[path] = fingerprint(weight.detach().to(torch::kFloat32));
  }

  std::string text() const {
    std::string all;
    for (const auto& [path, weight] : weights_) all += path + " " + hex(weight) + "\n";
    return hex(fingerprint(std::string_view(all)));
  }

  /// A warning if the metadata of `adapter` names another base than this; empty if not, or if it names none.
  std::string fault(const std::map<std::string, std::string>& metadata, const std::string& adapter) const {
    const auto recorded = metadata.find(base_key);
    if (recorded == metadata.end() || recorded->second == text()) return "";
    return message(adapter, ": was trained on a base whose adapted weights have the fingerprint ", recorded->second,
                   ", and those of this one have ", text(), "; on another base it may do anything");
  }

 private:
  std::map<std::string, std::uint64_t> weights_;
};

}  // namespace graft::detail
