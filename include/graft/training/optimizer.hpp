#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/tensor/state.hpp"
#include "graft/training/count.hpp"

namespace graft {

/// What of `module` requires a gradient, in the module's order; a tensor reachable by two names comes once, by the
/// first.
NamedTensors trained_parameters(const torch::nn::Module& module);

/// Parameters that share a learning rate and a weight decay.
struct ParameterGroup {
  NamedTensors parameters = {};
  double lr = 5e-5;           ///< finite, >= 0; a schedule multiplies it
  double weight_decay = 0.0;  ///< finite, >= 0
};

/// The trained parameters of `module` in two groups: matrices, with `weight_decay`, and vectors (biases, the weights of
/// LayerNorm), without. A group that would be empty is left out.
std::vector<ParameterGroup> decay_groups(const torch::nn::Module& module, double lr, double weight_decay);

/// Size of the gradients, and what AdamW::step() has to divide them by.
struct GradientScale {
  torch::Tensor norm;     ///< [] float64: the norm over all gradients, divided by the count, before any clipping
  torch::Tensor divisor;  ///< [] float32: count / min(1, clip_norm / norm)
};

/// Measures the gradients of a loss that was summed over `count` rows or tokens, and says how to make them the
/// gradients of the mean, no longer than `clip_norm` together. Changes nothing: the division happens inside
/// AdamW::step(), so that measuring is the one pass over the gradients beside the step's own. Parameters without a
/// gradient are passed over. A count on another device than the CPU is not read: nothing waits for it. Throws
/// OptionError unless clip_norm > 0 and the count, where it is read, is.
GradientScale gradient_scale(const NamedTensors& parameters, const Count& count = 1.0,
                             double clip_norm = std::numeric_limits<double>::infinity());

/// What Trainer asks of an optimizer: AdamW is one, LibTorchOptimizer brings LibTorch's, and others derive from this.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// The parameters of all groups, in order.
  virtual NamedTensors parameters() const = 0;

  /// What the updates are summed in, in the same order and under the same names: the parameters, unless an optimizer
  /// keeps finer copies of them.
  virtual NamedTensors updated() const { return parameters(); }

  /// The learning rate of the first group, before a schedule.
  virtual double lr() const = 0;

  /// Updates every parameter that has a gradient, with each group's learning rate times `lr_multiplier`. If a `divisor`
  /// ([] float32, from gradient_scale) is given the gradients count as divided by it, and may be left so.
  virtual void step(double lr_multiplier = 1.0, const torch::Tensor& divisor = {}) = 0;

  /// All that step() remembers, by names that never change.
  virtual NamedTensors state() const = 0;

  /// What keeps load_state() from taking `state`, one fault each: 'holds "w.step" as float [2] where ...'. Unless
  /// overridden: every name, shape and element type that is not state()'s.
  GRAFT_INLINE virtual std::vector<std::string> misfits(const NamedTensors& state) const;

  /// Copies a state back. Throws FormatError, which lists every misfit, and changes nothing, if there is one.
  virtual void load_state(const NamedTensors& state) = 0;

  /// Forgets all gradients.
  void zero_grad();
};

struct AdamWOptions {
  double beta1 = 0.9;    ///< in [0, 1)
  double beta2 = 0.999;  ///< in [0, 1)
  double eps = 1e-8;     ///< > 0

  bool operator==(const AdamWOptions&) const = default;
};

/// Adam with decoupled weight decay. One fused pass reads the gradients, clips them and writes parameters and moments:
///   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
///   w = w - lr weight_decay w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
///
/// Holds two moments for each parameter it was given, in its element type and on its device, and nothing for others.
/// For one of bfloat16 or float16 the moments are float32, and so is a master copy of it, which the updates are summed
/// in and which the parameter is the rounding of: what is too small for 16 bits is not lost. A parameter that was
/// written to by others since the last step starts its master anew. A parameter without a gradient is passed over; its
/// t does not advance. On the CPU the step gives the same bits at any number of threads. Source: Loshchilov and Hutter,
/// Decoupled Weight Decay Regularization, arXiv:1711.05101, algorithm 2.
class AdamW : public Optimizer {
 public:
  /// Throws OptionError for a value out of range, for no parameter at all, or for a parameter that does not require a
  /// gradient, comes twice or is not a dense floating-point tensor; every such parameter is named.
  explicit AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options = {});

  /// As Optimizer has it. On the CPU the gradients stay as they are; a GPU's kernel leaves them divided.
  GRAFT_INLINE void step(double lr_multiplier = 1.0, const torch::Tensor& divisor = {}) override;

  /// The same with a multiplier ([] float32) that is not read on the host where it lies on the parameters' device.
  void step(const torch::Tensor& lr_multiplier, const torch::Tensor& divisor = {});

  /// Starts the master of a 16-bit parameter anew where others wrote to it, as step() does first of all.
  void renew_masters();

  /// For who replays a CUDA graph of step(), which leaves versions as they are: gives every parameter a new version, by
  /// which what is kept of it is seen to be old, and takes none of them for a write by others.
  void note_replay();

  const std::vector<ParameterGroup>& groups() const { return groups_; }
  const AdamWOptions& options() const { return options_; }

  GRAFT_INLINE NamedTensors parameters() const override;
  double lr() const override { return groups_.front().lr; }

  /// A 16-bit parameter's master, else the parameter itself.
  GRAFT_INLINE NamedTensors updated() const override;

  /// "<name>.exp_avg", "<name>.exp_avg_sq", "<name>.step" ([] float32) for each parameter, and "<name>.master" where
  /// there is one. The tensors are the optimizer's own, not copies.
  GRAFT_INLINE NamedTensors state() const override;
  GRAFT_INLINE void load_state(const NamedTensors& state) override;

 private:
  template <class Multiplier>
  void update(const Multiplier& lr_multiplier, const torch::Tensor& divisor);

  struct Moments {
    torch::Tensor exp_avg, exp_avg_sq, step;
    torch::Tensor master;              // undefined where the parameter itself is precise enough
    std::int64_t written_version = 0;  // of the parameter, when the master was last rounded to it

    const torch::Tensor& updated(const torch::Tensor& parameter) const { return master.defined() ? master : parameter; }
  };

  std::vector<ParameterGroup> groups_;
  AdamWOptions options_;
  std::vector<std::vector<Moments>> moments_;  // as groups_
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/optimizer-inl.hpp"
#endif
