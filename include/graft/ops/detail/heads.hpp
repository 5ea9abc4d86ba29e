#pragma once

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"
#include "graft/ops/attention.hpp"
#include "graft/ops/kernels/attention_kernels.hpp"

// What attention() and cached_attention() share.

namespace graft::detail {

/// What the products of q [T, H, d] and its keys are multiplied by.
double scale_of(const AttentionOptions& options, const at::Tensor& q);

/// Throws OptionError for a scale that is none.
void check_scale(const AttentionOptions& options);

/// x [T, H, d] with the elements of a head side by side.
at::Tensor dense_heads(const at::Tensor& x);

template <class S>
HeadRows<S> head_rows(const at::Tensor& x) {
  return {static_cast<S*>(x.data_ptr()), x.stride(0), x.stride(1)};
}
template <class S>
HeadRows<const S> const_head_rows(const at::Tensor& x) {
  return {static_cast<const S*>(x.const_data_ptr()), x.stride(0), x.stride(1)};
}

}  // namespace graft::detail
