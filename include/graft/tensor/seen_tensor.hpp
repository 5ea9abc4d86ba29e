#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// Tells caches whether a tensor is still as they saw it: its storage, place, strides and version counter. A tensor
/// made under InferenceMode has no such counter: of it nothing can be told. Nor of what is written past LibTorch, such
/// as through data(). Holds no storage in memory. Threads: const functions may run on many at once.
class SeenTensor {
 public:
  /// Whether changes of `tensor` can be seen at all.
  static bool can_tell(const at::Tensor& tensor);

  /// Takes `tensor` as it is now for what was seen.
  void see(const at::Tensor& tensor);

  /// Whether `tensor` is certainly what was seen, unchanged since.
  bool same(const at::Tensor& tensor) const;

 private:
  c10::weak_intrusive_ptr<c10::StorageImpl> storage_{c10::intrusive_ptr<c10::StorageImpl>()};
  std::int64_t offset_ = 0;
  std::vector<std::int64_t> strides_;
  std::uint32_t version_ = 0;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/seen_tensor-inl.hpp"
#endif
