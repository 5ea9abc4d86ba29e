#pragma once

#include "graft/tensor/seen_tensor.hpp"

namespace graft {

GRAFT_INLINE bool SeenTensor::can_tell(const at::Tensor& tensor) {
  // torch::empty() gives even a tensor of inference a counter, which nothing moves.
  return !tensor.is_inference() && tensor.unsafeGetTensorImpl()->version_counter().enabled();
}

GRAFT_INLINE void SeenTensor::see(const at::Tensor& tensor) {
  storage_ = tensor.storage().getWeakStorageImpl();
  offset_ = tensor.storage_offset();
  strides_ = tensor.strides().vec();
  version_ = can_tell(tensor) ? tensor.unsafeGetTensorImpl()->version_counter().current_version() : 0;
}

GRAFT_INLINE bool SeenTensor::same(const at::Tensor& tensor) const {
  return can_tell(tensor) && storage_._unsafe_get_target() == tensor.storage().unsafeGetStorageImpl() &&
         offset_ == tensor.storage_offset() && tensor.strides() == at::IntArrayRef(strides_) &&
         tensor.unsafeGetTensorImpl()->version_counter().current_version() == version_;
}

}  // namespace graft
