#pragma once

#include <algorithm>

#include "graft/tensor/detail/random_kernels.hpp"

/// Kernels on rows of a matrix that are read once: dropout, addition, sums over rows.
#define GRAFT_SIMD_FILE "graft/tensor/detail/row_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
