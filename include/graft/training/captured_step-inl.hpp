#pragma once

#include <utility>

#include "graft/training/captured_step.hpp"
#include "graft/training/detail/cuda_recording.hpp"

namespace graft {
namespace detail {

/// A step on a batch; its mean loss. `lr_multiplier` is a number or a tensor, as AdamW::step() takes it.
template <class Rate>
torch::Tensor training_step(AdamW& optimizer, const NamedTensors& trained, double clip_norm,
                            const CapturedStep::LossOf& loss_of, const PackedBatch& batch, const torch::Tensor& labels,
                            const Rate& lr_multiplier) {
  optimizer.zero_grad();
  const Loss loss = loss_of(batch, labels);
  if (batch.limit > 0 && !loss.count.is_tensor())
    throw OptionError(message("the loss counts ", double(loss.count),
                              " on the host, which would be the count of every "
                              "step and holds padding; count judged labels in a tensor, as cross_entropy() does"));
  loss.sum.backward();
  optimizer.step(lr_multiplier, gradient_scale(trained, loss.count, clip_norm).divisor);
  return loss.mean().detach();
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

  void load(const PackedBatch& batch, const torch::Tensor& labels, double lr_multiplier) {
    const PackedBatch padded = pad_to_budget(batch, options_.budget);
    const torch::Tensor from = torch::cat({padded.ids, padded.type_ids, padded.positions, padded.offsets,
                                           pad_labels(labels, label_count_, options_.ignore_index)});
    // Pinned memory is given back only when the copy out of it is done.
    whole_.copy_(whole_.is_cuda() ? from.pin_memory() : from, /*non_blocking=*/true);
    lr_multiplier_.fill_(lr_multiplier);
  }

  const PackedBatch& batch() const { return batch_; }
  const torch::Tensor& labels() const { return labels_; }
  const torch::Tensor& lr_multiplier() const { return lr_multiplier_; }

 private:
  CapturedStepOptions options_;
  std::int64_t label_count_;
  torch::Tensor whole_, labels_, lr_multiplier_;
  PackedBatch batch_;
};

}  // namespace detail

/// What a step on a CUDA device keeps.
class CapturedStep::OnDevice {
 public:
  OnDevice(const CapturedStepOptions& options, torch::Device device) : place(options, device), recording(device) {}

  detail::BatchInPlace place;
  detail::CudaRecording recording;
  torch::Tensor mean;  // written by each replay
};

GRAFT_INLINE CapturedStep::CapturedStep(AdamW& optimizer, const CapturedStepOptions& options, LossOf loss_of)
    : optimizer_(optimizer), options_(options), loss_of_(std::move(loss_of)), trained_(optimizer.parameters()) {
  check_budget(options.budget);
  if (!(options.clip_norm > 0.0))
    throw OptionError(message("clip_norm is ", options.clip_norm, "; it must be above 0"));
  if (!loss_of_) throw OptionError("a captured step was given no loss function");
  const torch::Device device = trained_.front().second.device();
  for (const auto& [name, tensor] : trained_) {
    if (tensor.device() != device)
      throw OptionError(message(quoted(name), " is on ", tensor.device(), ", ", quoted(trained_.front().first), " on ",
                                device, "; a captured step trains on one device"));
  }
  if (device.is_cuda()) on_device_ = std::make_unique<OnDevice>(options, device);
}

GRAFT_INLINE CapturedStep::~CapturedStep() = default;

GRAFT_INLINE void CapturedStep::check(const PackedBatch& batch, const torch::Tensor& labels) const {
  if (!batch.ids.is_cpu() || !batch.offsets.is_cpu() || !labels.is_cpu())
    throw ShapeError("a captured step copies batches to the device itself; leave batch and labels on the CPU");
  check_fits(batch, options_.budget);
  const std::int64_t wanted = options_.token_labels ? batch.tokens() : batch.sequences();
  if (labels.dim() != 1 || labels.size(0) != wanted || labels.scalar_type() != torch::kInt64)
    throw ShapeError(message("labels are ", labels.sizes(), " of type ", labels.scalar_type(), "; give ", wanted,
                             " of int64, one for each ", options_.token_labels ? "token" : "sequence"));
  if (labels.eq(options_.ignore_index).all().item<bool>())
    throw OptionError(message("no label of the batch is judged: all are ", options_.ignore_index, "; leave it out"));
}

GRAFT_INLINE torch::Tensor CapturedStep::operator()(const PackedBatch& batch, const torch::Tensor& labels,
                                              double lr_multiplier) {
  check(batch, labels);
  if (!on_device_) {
    return detail::training_step(optimizer_, trained_, options_.clip_norm, loss_of_, batch, labels, lr_multiplier);
  }
  OnDevice& on = *on_device_;
  on.place.load(batch, labels, lr_multiplier);
  optimizer_.renew_masters();  // the graph cannot tell whether it must
  on.recording.run([&] {
    on.mean = detail::training_step(optimizer_, trained_, options_.clip_norm, loss_of_, on.place.batch(),
                                    on.place.labels(), on.place.lr_multiplier());
  });
  optimizer_.note_replay();
  return on.mean.clone();
}

}  // namespace graft
