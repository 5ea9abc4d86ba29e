#pragma once

#include <cmath>

#include "graft/tensor/detail/row_kernels.hpp"

/// rms_norm_row() and rotate_heads().
#define GRAFT_SIMD_FILE "graft/tensor/detail/decoding_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
