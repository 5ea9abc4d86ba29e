#pragma once

#include <cmath>

#include "graft/tensor/detail/row_kernels.hpp"

/// gelu_row() and gelu_row_backward().
#define GRAFT_SIMD_FILE "graft/tensor/detail/gelu_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
