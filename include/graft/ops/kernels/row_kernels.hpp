#pragma once

#include <algorithm>

#include "graft/ops/kernels/random_kernels.hpp"

/// Kernels on rows of a matrix that are read once: dropout, addition, sums over rows.
#define GRAFT_SIMD_FILE "graft/ops/kernels/row_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
