#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include "graft/tensor/meta.hpp"

namespace graft {

GRAFT_INLINE void give_memory(torch::nn::Module& module, c10::Device device) {
  const auto fill = [&](const torch::Tensor& tensor) {
    const torch::Tensor memory = torch::empty(tensor.sizes(), tensor.options().device(device).requires_grad(false));
    tensor.unsafeGetTensorImpl()->shallow_copy_from(memory.getIntrusivePtr());
  };
  for (const torch::Tensor& tensor : module.parameters()) fill(tensor);
  for (const torch::Tensor& tensor : module.buffers()) fill(tensor);
}

}  // namespace graft
