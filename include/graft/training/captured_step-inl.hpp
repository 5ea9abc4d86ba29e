#pragma once

#include <utility>

#include "graft/training/captured_step.hpp"
#include "graft/training/detail/batch_in_place.hpp"
#include "graft/training/detail/cuda_recording.hpp"

namespace graft {
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
