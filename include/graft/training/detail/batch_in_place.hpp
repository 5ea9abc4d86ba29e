#pragma once

#include <cstddef>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/training/captured_step.hpp"

namespace graft::detail {

/// The first half of a step on one batch.
inline StepGradients gradients_of_batch(AdamW& optimizer, double clip_norm, const CapturedStep::LossOf& loss_of,
                                        const PackedBatch& batch, const torch::Tensor& labels) {
  const auto loss = [&](std::size_t) {
    Loss made = loss_of(batch, labels);
    if (batch.limit > 0 && !made.count.is_tensor())
      throw OptionError(message("the loss counts ", double(made.count),
                                " on the host, which would be the count of every "
                                "step and holds padding; count judged labels in a tensor, as cross_entropy() does"));
    return made;
  };
  return make_gradients(optimizer, 1, loss, clip_norm);
}

/// Tensors on a device that every batch of a budget is copied into, padded.
class BatchInPlace {
 public:
  BatchInPlace(const CapturedStepOptions& options, torch::Device device)
      : options_(options),
        label_count_(options.token_labels ? options.budget.padded_tokens() : options.budget.padded_sequences()),
        lr_multiplier_(torch::ones({}, torch::TensorOptions(torch::kFloat).device(device))) {
    const std::int64_t tokens = options.budget.padded_tokens(), ends = options.budget.padded_sequences() + 1;
    whole_ = torch::zeros({3 * tokens + ends + label_count_}, torch::TensorOptions(torch::kInt64).device(device));
    const std::vector<torch::Tensor> parts = whole_.split_with_sizes({tokens, tokens, tokens, ends, label_count_});
    batch_ = {parts[0], parts[1], parts[2], parts[3], options.budget.longest};
    labels_ = parts[4];
  }

  void load(const PackedBatch& batch, const torch::Tensor& labels) {
    const PackedBatch padded = pad_to_budget(batch, options_.budget);
    const torch::Tensor from = torch::cat({padded.ids, padded.type_ids, padded.positions, padded.offsets,
                                           pad_labels(labels, label_count_, options_.ignore_index)});
    // Pinned memory is given back only when the copy out of it is done.
    whole_.copy_(whole_.is_cuda() ? from.pin_memory() : from, /*non_blocking=*/true);
  }

  void set_lr_multiplier(double lr_multiplier) { lr_multiplier_.fill_(lr_multiplier); }

  const PackedBatch& batch() const { return batch_; }
  const torch::Tensor& labels() const { return labels_; }
  const torch::Tensor& lr_multiplier() const { return lr_multiplier_; }

 private:
  CapturedStepOptions options_;
  std::int64_t label_count_;
  torch::Tensor whole_, labels_, lr_multiplier_;
  PackedBatch batch_;
};

}  // namespace graft::detail
