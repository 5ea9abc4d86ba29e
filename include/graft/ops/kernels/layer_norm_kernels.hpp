#pragma once

#include <cmath>

#include "graft/ops/kernels/row_kernels.hpp"

/// add_norm_row() and add_norm_row_backward().
#define GRAFT_SIMD_FILE "graft/ops/kernels/layer_norm_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
