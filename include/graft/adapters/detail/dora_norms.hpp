#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <utility>

#include <torch/types.h>

namespace graft::detail {

/// A tensor's values as last seen: its storage, place and version counter.
class SeenTensor {
 public:
  /// Whether `tensor` is other than at the last call.
  bool changed(const torch::Tensor& tensor) {
    const auto& counter = tensor.unsafeGetTensorImpl()->version_counter();
    const std::uint32_t version = counter.enabled() ? counter.current_version() : 0;
    const bool same = counter.enabled() && storage_._unsafe_get_target() == tensor.storage().unsafeGetStorageImpl() &&
                      offset_ == tensor.storage_offset() && version_ == version;
    storage_ = tensor.storage().getWeakStorageImpl();
    offset_ = tensor.storage_offset();
    version_ = version;
    return !same;
  }

 private:
  c10::weak_intrusive_ptr<c10::StorageImpl> storage_{c10::intrusive_ptr<c10::StorageImpl>()};
  std::int64_t offset_ = 0;
  std::uint32_t version_ = 0;
};

/// The lengths of the rows of W + s B A, without that matrix: per row
///   |w|^2 + 2 s b (A w) + s^2 b (A A^T) b^T,   w a row of W [units, elements], b one of B [units, r], A [r, elements].
/// |w|^2 is kept while W stays as it is, the result while A and B do too. Threads: may be used by many at once.
class DoraNorms {
 public:
  /// [units], in float32 (float64 for a float64 weight), outside autograd.
  torch::Tensor of(const torch::Tensor& W, const torch::Tensor& A, const torch::Tensor& B, double scale) {
    const torch::NoGradGuard no_grad;
    const std::lock_guard lock(mutex_);
    const std::array<bool, 3> changed = {seen_[0].changed(W), seen_[1].changed(A), seen_[2].changed(B)};
    if (!changed[0] && !changed[1] && !changed[2]) return norms_;
    const torch::ScalarType type = W.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    const torch::Tensor w = W.to(type), a = A.to(type), b = B.to(type);
    if (changed[0]) base_ = w.square().sum(1, /*keepdim=*/false, torch::kFloat64);
    const torch::Tensor cross = (b * w.mm(a.t())).sum(1, /*keepdim=*/false, torch::kFloat64);
    const torch::Tensor own = (b.mm(a.mm(a.t())) * b).sum(1, /*keepdim=*/false, torch::kFloat64);
    norms_ = (base_ + 2 * scale * cross + scale * scale * own).clamp_min(0).sqrt().to(type);
    return norms_;
  }

 private:
  std::mutex mutex_;
  std::array<SeenTensor, 3> seen_;
  torch::Tensor base_;   // [units] float64
  torch::Tensor norms_;  // [units]
};

}  // namespace graft::detail
