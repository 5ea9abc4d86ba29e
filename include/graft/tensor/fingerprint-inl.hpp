#pragma once

#include <cstddef>
#include <span>

#include <torch/types.h>

#include "graft/tensor/fingerprint.hpp"

namespace graft {

GRAFT_INLINE std::uint64_t fingerprint(const torch::Tensor& tensor) {
  const torch::NoGradGuard no_grad;
  const auto plain = tensor.detach().to(torch::kCPU).contiguous();
  Checksum sum;
  sum.add(std::span(static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()));
  return sum.value();
}

}  // namespace graft
