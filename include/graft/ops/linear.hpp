#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"
#include "graft/ops/matrix_backend.hpp"
#include "graft/tensor/seen_tensor.hpp"

namespace graft {

/// Some rows of a matrix, ascending, each once.
struct RowSet {
  std::int64_t first = 0;  ///< of count rows, one after the other, unless there are indices
  std::int64_t count = 0;
  at::Tensor indices = {};  ///< [count] int64 on the CPU, or undefined
};

/// One low-rank update of a linear layer: its output grows by scale * B(A(dropout(x))).
struct LowRankTerm {
  at::Tensor A;          ///< [r, in]
  at::Tensor B;          ///< [out, r]
  double scale = 1.0;    ///< alpha / r, times the adapter's weight
  double dropout = 0.0;  ///< chance in [0, 1) that an input of A is zeroed, to a 65536th; 0 outside training
  std::shared_ptr<const RowSet> rows = nullptr;  ///< of x as [T, in], which alone get the update; null: all
};

/// The copies of one frozen weight [out, in], rearranged for oneDNN, that speed up products with it: one for the
/// layer's output, one for the gradient of its input, each as large as the weight and made when first needed. They are
/// made anew when the weight was changed, and only where oneDNN multiplies (see MatrixBackend) and changes can be seen
/// (see SeenTensor); else the cache stays empty. Threads: may be used by many at once.
class WeightCache {
 public:
  /// The weight [out, in], or with `transposed` its transpose [in, out], as oneDNN wants it; as it is, but contiguous,
  /// where no copy can be kept.
  at::Tensor packed(const at::Tensor& weight, bool transposed);

  /// Forgets the copies and gives their memory back.
  void clear();
  /// Bytes held.
  std::int64_t bytes() const;

 private:
  struct Copy {
    at::Tensor packed;
    SeenTensor of;
  };
  mutable std::mutex mutex_;
  Copy copies_[2];
};

/// A linear layer as linear_group() wants it.
struct LinearPart {
  at::Tensor weight;                   ///< [out, in], of x's type, or bfloat16 where x is float32
  at::Tensor bias;                     ///< [out], or undefined
  std::span<const LowRankTerm> terms;  ///< the active updates
  std::shared_ptr<WeightCache> cache;  ///< of this weight, or null; not used while the weight requires a gradient
};

/// y = x weight^T + bias + sum over terms of scale dropout(x) A^T B^T, as one step of autograd.
///
/// Shapes: x [..., in], y [..., out]. A and B may be float32 where x is bfloat16: their products are then taken in
/// float32, and their gradients are float32. The weight may be bfloat16 where x is float32: it is read at half the
/// bytes and computed with in float32, so that nothing but the weight is rounded.
/// Kept for backward: x, dropout(x) A^T (r numbers a token) and scale B^T, with dropout one bit an element of x.
/// Gradients are computed of what requires one only: a frozen weight costs nothing.
/// float32, float64 and bfloat16 on the CPU run as described; anything else on LibTorch's operations with the same
/// result. x is kept only where A or the weight is trained. Differentiable once. Throws ShapeError where sizes do not
/// fit, OptionError for a dropout outside its range. Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {},
                  std::span<const LowRankTerm> terms = {}, const std::shared_ptr<WeightCache>& cache = nullptr);

/// Several linear layers on one x, such as query, key and value: x is kept once, and the gradients of x are summed as
/// they are made.
std::vector<at::Tensor> linear_group(const at::Tensor& x, std::span<const LinearPart> parts);

namespace detail {

/// One of them from LibTorch's operations.
at::Tensor plain_linear(const at::Tensor& x, const LinearPart& part);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/linear-inl.hpp"
#endif
