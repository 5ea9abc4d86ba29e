#pragma once

#include <cmath>

#include "graft/tensor/detail/row_kernels.hpp"

/// add_norm_row() and add_norm_row_backward().
#define GRAFT_SIMD_FILE "graft/tensor/detail/layer_norm_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
