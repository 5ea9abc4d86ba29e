#pragma once

#include "graft/adapters/layer_adapter.hpp"

namespace graft::detail {

GRAFT_INLINE void set_trained(torch::Tensor& parameter, bool trained) {
  if (parameter.requires_grad() != trained) parameter.set_requires_grad(trained);
}

}  // namespace graft::detail
