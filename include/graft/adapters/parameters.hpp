#pragma once

#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/attach.hpp"
#include "graft/core/console.hpp"
#include "graft/core/mode.hpp"
#include "graft/tensor/state.hpp"

namespace graft {

/// Elements of one layer, or of a whole model.
struct ParameterCount {
  std::int64_t trained = 0;  ///< in parameters that require gradients
  std::int64_t frozen = 0;   ///< in parameters that do not
  std::int64_t stored = 0;   ///< what saving writes: see count_parameters()

  std::int64_t total() const { return trained + frozen; }
  /// Share of the parameters that is trained, in [0, 1]; 0 for a model without any.
  double share() const { return total() == 0 ? 0.0 : static_cast<double>(trained) / static_cast<double>(total()); }
};

/// Counts by layer, in the model's order, and in all.
struct ParameterReport {
  std::vector<std::pair<std::string, ParameterCount>> layers;  ///< modules that own parameters, by path
  ParameterCount all;

  /// Columns layer, trained, frozen, stored; the last line is the sum, with the share that is trained.
  std::string table() const;
};

/// Counts the parameters of a model. A tensor shared by two layers counts once, where it comes first. An adapter's
/// factors count with their layer. Stored: the whole model if it carries no adapter; else what an adapter's directory
/// holds, that is the factors of every adapter and whatever else is trained (heads).
ParameterReport count_parameters(torch::nn::Module& module);

/// Parameters and buffers of a model less those of its adapters: what a checkpoint of the plain model holds. While
/// merged, the weights are the merged ones.
NamedTensors base_tensors(torch::nn::Module& module);

namespace detail {

/// Every parameter and buffer of every adapter.
std::set<const c10::TensorImpl*> factor_tensors(torch::nn::Module& module);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/parameters-inl.hpp"
#endif
