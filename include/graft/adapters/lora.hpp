#pragma once

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/kinds/lora.hpp"

namespace graft {

/// Holder of a frozen layer with one low-rank adapter; see Adapted.
template <class Layer>
using Lora = Adapted<Layer, LoraOptions>;

}  // namespace graft
