#pragma once

#include <cmath>

#include "graft/ops/kernels/row_kernels.hpp"

/// rms_norm_row() and rotate_heads().
#define GRAFT_SIMD_FILE "graft/ops/kernels/decoding_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
