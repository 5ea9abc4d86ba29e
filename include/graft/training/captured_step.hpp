#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/tensor/token_budget.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/step.hpp"

namespace graft {

struct CapturedStepOptions {
  TokenBudget budget = {};                                         ///< what no batch may exceed
  double clip_norm = std::numeric_limits<double>::infinity();      ///< of gradient_scale()
  bool token_labels = false;                                       ///< a label for each token, not for each sequence
  std::int64_t ignore_index = CrossEntropyOptions{}.ignore_index;  ///< a label that the loss does not judge
};

/// One training step (forward, backward, clipping, AdamW) that a GPU is handed as a whole: CUDA graphs, recorded once
/// and replayed for every batch, so that the host launches two things where it launched thousands.
///
///     CapturedStep step(optimizer, {.budget = {.tokens = 4096, .sequences = 32, .longest = 128}, .clip_norm = 1.0},
///                       [&](const PackedBatch& batch, const torch::Tensor& labels) {
///                         return cross_entropy(model(batch).to(torch::kFloat32), labels);
///                       });
///     const torch::Tensor mean_loss = step(batch, labels, lr_multiplier);
///
/// Trainer::train_captured() runs a training this way.
///
/// On a CUDA device each batch is padded to the budget (pad_to_budget()) and copied to where the graph reads it. The
/// first steps are made one operation at a time, to warm up; they count like any other. Dropout differs at each replay.
/// The loss function is called for these and for the recording, and no more. It must count on the device, as
/// cross_entropy() does, leave out labels of `ignore_index`, and neither read a tensor on the host nor copy from there:
/// BERT and RoBERTa do not, in full and with LoRA, DoRA and IA3; token rows and an AdapterSelection do. What is
/// recorded stays as it is: the modules' mode, what is trained, where parameters lie. On the CPU the same call makes
/// the plain step, unpadded, with the same result. `optimizer` and what the loss function refers to must outlive the
/// step. Threads: one, and no other may use the device while the step is recorded.
class CapturedStep {
 public:
  using LossOf = std::function<Loss(const PackedBatch& batch, const torch::Tensor& labels)>;

  /// Throws OptionError for a number of the budget below 1, a clip_norm that is not above 0, no loss function, or
  /// parameters on several devices.
  CapturedStep(AdamW& optimizer, const CapturedStepOptions& options, LossOf loss_of);
  CapturedStep(const CapturedStep&) = delete;
  CapturedStep& operator=(const CapturedStep&) = delete;
  ~CapturedStep();

  /// Makes a step and returns its mean loss, [], on the device and without waiting for it. `batch`, `labels` (int64
  /// [N], or [T] with token_labels) are on the CPU. Throws ShapeError for a batch that is empty, has an empty sequence
  /// or exceeds the budget and for labels that do not fit it, OptionError if no label is judged or the loss counts on
  /// the host, StateError if the step cannot be recorded. Nothing is then changed but gradients.
  torch::Tensor operator()(const PackedBatch& batch, const torch::Tensor& labels, double lr_multiplier = 1.0);

  /// The two halves of a step, for who looks at gradients or figures between them: two graphs on a CUDA device. What
  /// the first gives is overwritten by the next one. Throw as above.
  StepGradients gradients(const PackedBatch& batch, const torch::Tensor& labels);
  void update(double lr_multiplier = 1.0);

 private:
  class OnDevice;

  void check(const PackedBatch& batch, const torch::Tensor& labels) const;

  AdamW& optimizer_;
  CapturedStepOptions options_;
  LossOf loss_of_;
  StepGradients made_;                   // by the last gradients()
  std::unique_ptr<OnDevice> on_device_;  // none on the CPU
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/captured_step-inl.hpp"
#endif
