#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/training/optimizer.hpp"

// "Did it learn?" A training that learns nothing runs as smoothly as one that does. These checks make the difference
// loud. The trainer calls all of them; each can be called from a loop of one's own. All of them throw TrainingError and
// name every parameter concerned.

namespace graft {

/// Throws unless some parameter of `module` requires a gradient.
void require_trained_parameters(const torch::nn::Module& module);

/// Throws unless `held` (what an optimizer holds) are exactly the trained parameters of `module`: the very tensors, not
/// equal ones. Catches an optimizer that was built before adapters were attached or the module was moved.
void require_same_parameters(const torch::nn::Module& module, const NamedTensors& held);

/// Throws unless `loss` is finite. `step` (from 1) and `rows` (row numbers of the batch) are for the message.
void require_finite_loss(double loss, std::int64_t step, std::span<const std::int64_t> rows);

/// Throws if a gradient holds an infinite element or one that is not a number. Reads every gradient: call it once the
/// norm over all of them is not finite.
void require_finite_gradients(const NamedTensors& parameters, std::int64_t step);

/// Remembers the frozen parameters of a module, to show later that training left them alone.
class FrozenGuard {
 public:
  explicit FrozenGuard(const torch::nn::Module& module);

  /// Throws if a parameter that was frozen has changed since.
  void check() const;

  /// One hash of the names and bits of all of them, as they were.
  std::string hash() const;

 private:
  struct Seen {
    std::string name;
    torch::Tensor tensor;
    std::uint64_t fingerprint;
  };
  std::vector<Seen> frozen_;
};

/// Watches the first steps of a training, then tells which parameters do not take part in it.
///
///     LearningGuard guard(optimizer);
///     for (...) { loss.backward(); guard.observe(); optimizer.step(); }   // the first few steps
///     guard.check();
class LearningGuard {
 public:
  /// Watches the parameters of an optimizer. One moves when what its updates are summed in does.
  explicit LearningGuard(const Optimizer& optimizer);

  /// The same without one. Throws OptionError if a parameter is undefined.
  explicit LearningGuard(const NamedTensors& parameters) : LearningGuard(parameters, parameters) {}

  /// Looks at the gradients: call it between backward and step.
  void observe();

  /// Throws if a parameter never had a gradient.
  void check_gradients() const;

  /// Throws if a parameter never had a gradient, had nothing but zeros, or is still what it was. Ask after three steps
  /// at a learning rate above 0, not before: with B = 0 the first gradient of a LoRA's A is exactly zero.
  void check() const;

 private:
  LearningGuard(const NamedTensors& parameters, const NamedTensors& updated);

  struct Watched {
    std::string name;
    torch::Tensor parameter, updated;
    std::uint64_t fingerprint;
    bool had_gradient = false;
    bool was_other_than_zero = false;
  };
  std::vector<Watched> watched_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/guards-inl.hpp"
#endif
