#pragma once

#include <map>
#include <string>
#include <utility>

#include <torch/nn/module.h>

#include "graft/tensor/state.hpp"
#include "graft/training/optimizer.hpp"

namespace graft {

/// A copy of what training changes in a module: its trained parameters and its buffers.
class ParameterSnapshot {
 public:
  explicit ParameterSnapshot(const torch::nn::Module& module) : live_(changing_tensors(module)) {
    for (const auto& [name, tensor] : live_) copies_.emplace_back(name, tensor.detach().clone());
  }

  /// Of values that were saved before; `copies` has the names of changing_tensors(module).
  ParameterSnapshot(const torch::nn::Module& module, NamedTensors copies)
      : live_(changing_tensors(module)), copies_(std::move(copies)) {}

  /// Writes the copies back.
  void restore() const {
    const torch::NoGradGuard no_grad;
    const std::map<std::string, torch::Tensor> values(copies_.begin(), copies_.end());
    for (const auto& [name, tensor] : live_) tensor.copy_(values.at(name));
  }

  const NamedTensors& tensors() const { return copies_; }

  /// Handles of the tensors that training changes in `module`.
  static NamedTensors changing_tensors(const torch::nn::Module& module) {
    NamedTensors tensors = trained_parameters(module);
    for (const auto& buffer : module.named_buffers()) {
      if (buffer.value().defined()) tensors.emplace_back(buffer.key(), buffer.value());
    }
    return tensors;
  }

 private:
  NamedTensors live_, copies_;
};

}  // namespace graft
