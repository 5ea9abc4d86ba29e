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
inline constexpr const char* rounded_base_key = "graft.base.bfloat16";
inline constexpr const char* data_key = "graft.data";

/// What tells one base from another for an adapter: the weights of its layers, without any adapter in them. They count
/// as float32, so that it does not matter in which wider type a base is stored or held. A base that is held in bfloat16
/// for speed alone, as LocalGenerator does, is told by its weights as rounded to that.
class BaseFingerprint {
 public:
  /// `weight` as the adapter's shapes want it: [out, in] for a linear layer.
  void add(const std::string& path, const torch::Tensor& weight) {
    const torch::Tensor rounded = weight.detach().to(torch::kBFloat16);
    rounded_[path] = fingerprint(rounded.to(torch::kFloat32));
    weights_[path] = fingerprint(weight.detach().to(torch::kFloat32));
    held_rounded_ = held_rounded_ || weight.scalar_type() == torch::kBFloat16;
  }

  std::string text() const { return text_of(weights_); }
  std::string rounded_text() const { return text_of(rounded_); }

  /// A warning if the metadata of `adapter` names another base than this; empty if not, or if it cannot be told.
  std::string fault(const std::map<std::string, std::string>& metadata, const std::string& adapter) const {
    const auto recorded = metadata.find(base_key);
    if (recorded == metadata.end() || recorded->second == text()) return "";
    const auto rounded = metadata.find(rounded_base_key);
    if (held_rounded_ && (rounded == metadata.end() || rounded->second == rounded_text())) return "";
    return message(adapter, ": was trained on a base whose adapted weights have the fingerprint ", recorded->second,
                   ", and those of this one have ", text(), "; on another base it may do anything");
  }

 private:
  using Weights = std::map<std::string, std::uint64_t>;
  static std::string text_of(const Weights& weights) {
    std::string all;
    for (const auto& [path, weight] : weights) all += path + " " + hex(weight) + "\n";
    return hex(fingerprint(std::string_view(all)));
  }

  Weights weights_, rounded_;
  bool held_rounded_ = false;
};

}  // namespace graft::detail
