#pragma once

#include <utility>

#include "graft/training/captured_step.hpp"
#include "graft/training/detail/batch_in_place.hpp"
#include "graft/training/detail/cuda_recording.hpp"

namespace graft {

/// What a step on a CUDA device keeps.
class CapturedStep::OnDevice {
 public:
  OnDevice(const CapturedStepOptions& options, torch::Device device)
      : place(options, device), gradients(device), update(device) {}

  detail::BatchInPlace place;
  detail::CudaRecording gradients, update;
};

GRAFT_INLINE CapturedStep::CapturedStep(AdamW& optimizer, const CapturedStepOptions& options, LossOf loss_of)
    : optimizer_(optimizer), options_(options), loss_of_(std::move(loss_of)) {
  check_budget(options.budget);
  if (!(options.clip_norm > 0.0))
    throw OptionError(message("clip_norm is ", options.clip_norm, "; it must be above 0"));
  if (!loss_of_) throw OptionError("a captured step was given no loss function");
  const NamedTensors trained = optimizer.parameters();
  const torch::Device device = trained.front().second.device();
  for (const auto& [name, tensor] : trained) {
    if (tensor.device() != device)
      throw OptionError(message(quoted(name), " is on ", tensor.device(), ", ", quoted(trained.front().first), " on ",
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

GRAFT_INLINE StepGradients CapturedStep::gradients(const PackedBatch& batch, const torch::Tensor& labels) {
  check(batch, labels);
  if (!on_device_) {
    made_ = detail::gradients_of_batch(optimizer_, options_.clip_norm, loss_of_, batch, labels);
    return made_;
  }
  const detail::BatchInPlace& place = on_device_->place;
  on_device_->place.load(batch, labels);
  on_device_->gradients.run([&] {
    made_ = detail::gradients_of_batch(optimizer_, options_.clip_norm, loss_of_, place.batch(), place.labels());
  });
  return made_;
}

GRAFT_INLINE void CapturedStep::update(double lr_multiplier) {
  if (!on_device_) return optimizer_.step(lr_multiplier, made_.scale.divisor);
  on_device_->place.set_lr_multiplier(lr_multiplier);
  optimizer_.renew_masters();  // the graph cannot tell whether it must
  on_device_->update.run([&] { optimizer_.step(on_device_->place.lr_multiplier(), made_.scale.divisor); });
  optimizer_.note_replay();
}

GRAFT_INLINE torch::Tensor CapturedStep::operator()(const PackedBatch& batch, const torch::Tensor& labels,
                                                    double lr_multiplier) {
  const torch::Tensor mean = gradients(batch, labels).loss.mean();
  update(lr_multiplier);
  return mean;
}

}  // namespace graft
