#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/kinds/lora.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// Low-rank training of a module that graft did not write, with none of its code changed: while run() works, the
/// `weight` of its plain torch::nn::Linear, Conv1d, Conv2d and Embedding members is W + (alpha / r) B A.
///
///     Reparametrised lora(model, {.rank = 8, .alpha = 16}, {.layers = {"fc1", "fc2"}});
///     torch::optim::AdamW optimizer(lora.parameters());
///     ... loss = lora.run([&] { return criterion(model->forward(x), y); }); loss.backward(); optimizer.step(); ...
///     lora.fold();
///
/// Outside run() the module is the exact base. The weight is built anew in each run(): slower than an adaptable layer
/// by a product of B and A and a copy of W for each, and there is no dropout before A. While the object lives only A, B
/// and the heads require gradients; afterwards the module's parameters require what they required before. The module
/// must outlive the object. Threads: one run() at a time, and no other use of the module in it.
class Reparametrised {
 public:
  /// Throws OptionError if targets or options do not fit: every fault of every layer at once, before anything is
  /// changed. LoraOptions::dropout must be 0, bias off.
  Reparametrised(torch::nn::Module& module, const LoraOptions& options, const Targets& targets);
  ~Reparametrised() { release(); }
  Reparametrised(const Reparametrised&) = delete;
  Reparametrised& operator=(const Reparametrised&) = delete;

  const TargetReport& targets() const { return report_; }

  /// What is trained: A and B of every layer, then the parameters of the heads.
  std::vector<torch::Tensor> parameters() const;

  /// The result of `call()`, during which the module's weights are W + (alpha / r) B A. If it throws, they are W again.
  /// Throws StateError after fold().
  template <class Call>
  auto run(Call&& call) {
    const Applied applied(*this);
    return std::forward<Call>(call)();
  }

  /// Adds the updates to the module's weights, summed in float32 and rounded once, and ends the re-parametrisation.
  /// Throws StateError if a result would not be finite, naming the layer: no weight is then changed.
  void fold();

 private:
  struct Layer {
    std::string name;
    std::shared_ptr<torch::nn::Module> owner;
    torch::Tensor* weight;  // the member of *owner that its forward() reads
    torch::Tensor base;
    torch::Tensor A;
    torch::Tensor B;
    std::function<torch::Tensor(const torch::Tensor& A, const torch::Tensor& B)> update;
  };

  class Applied {
   public:
    explicit Applied(Reparametrised& scope);
    ~Applied() { restore(); }
    Applied(const Applied&) = delete;
    Applied& operator=(const Applied&) = delete;

   private:
    void restore();
    Reparametrised& scope_;
  };

  template <class Impl>
  static bool describe(const std::shared_ptr<torch::nn::Module>& module, const LoraOptions& options, Layer& layer,
                       LowRankShape& shape);
  void add_layer(const std::string& name, const std::shared_ptr<torch::nn::Module>& module, const LoraOptions& options,
                 std::vector<std::string>& faults);
  void release();

  double scale_;
  TargetReport report_;
  std::vector<Layer> layers_;
  std::vector<torch::Tensor> heads_;
  std::vector<std::pair<torch::Tensor, bool>> required_;  // the module's parameters and what they required before
  bool ended_ = false;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/reparametrise-inl.hpp"
#endif
