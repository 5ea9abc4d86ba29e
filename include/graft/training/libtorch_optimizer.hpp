#pragma once

#include <memory>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/training/optimizer.hpp"

namespace torch::optim {
class Optimizer;
class OptimizerParamState;
}  // namespace torch::optim

namespace graft {

/// An optimizer of LibTorch for Trainer:
///
///     auto sgd = std::make_shared<torch::optim::SGD>(tensors_of(trained_parameters(*model)),
///     torch::optim::SGDOptions(0.1)); Trainer trainer(*model, std::make_shared<LibTorchOptimizer>(*model, sgd),
///     {.length = Epochs{2}});
///
/// SGD, Adam, AdamW, RMSprop and Adagrad can be saved and resumed, and go on bit by bit; of others state() throws
/// StateError. A schedule multiplies each group's own learning rate, which step() leaves as it was; gradients are left
/// divided by the divisor.
class LibTorchOptimizer : public Optimizer {
 public:
  /// The parameters get their names from `module`. Throws OptionError for a null pointer, no parameter at all, one that
  /// is not the module's, and LBFGS, which wants the loss again and again.
  LibTorchOptimizer(const torch::nn::Module& module, std::shared_ptr<torch::optim::Optimizer> optimizer);

  NamedTensors parameters() const override { return parameters_; }
  GRAFT_INLINE double lr() const override;
  GRAFT_INLINE void step(double lr_multiplier = 1.0, const torch::Tensor& divisor = {}) override;

  /// "<name>.step" and "<name>.momentum_buffer", "<name>.exp_avg" and so on, as LibTorch calls them. What LibTorch has
  /// not made yet is empty ([0]), and so is a "step" (else [] int64) of a parameter that was never updated.
  GRAFT_INLINE NamedTensors state() const override;
  GRAFT_INLINE std::vector<std::string> misfits(const NamedTensors& state) const override;
  GRAFT_INLINE void load_state(const NamedTensors& state) override;

 private:
  std::unique_ptr<torch::optim::OptimizerParamState> fresh_state() const;

  std::shared_ptr<torch::optim::Optimizer> optimizer_;
  NamedTensors parameters_;
};

/// The tensors without their names.
std::vector<torch::Tensor> tensors_of(const NamedTensors& named);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/libtorch_optimizer-inl.hpp"
#endif
