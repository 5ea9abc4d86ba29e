#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

// oneDNN's linear layer has no C++ declaration in LibTorch: it is reached by name.

namespace graft::detail {

/// Whether it is there and for x: float32 and, with AVX-512, bfloat16 on the CPU.
bool onednn_takes(const at::Tensor& x);

/// A weight [out, in] as oneDNN wants it.
at::Tensor onednn_pack(const at::Tensor& weight);

/// x weight^T + bias; `weight` packed or plain.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/ops/detail/onednn_product-inl.hpp"
#endif
