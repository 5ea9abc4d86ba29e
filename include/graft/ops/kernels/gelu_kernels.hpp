#pragma once

#include <cmath>

#include "graft/ops/kernels/row_kernels.hpp"

/// gelu_row() and gelu_row_backward().
#define GRAFT_SIMD_FILE "graft/ops/kernels/gelu_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
