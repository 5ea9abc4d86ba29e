#pragma once

#include <algorithm>
#include <vector>

#include "graft/tensor/detail/gemm_kernels.hpp"

/// Products of few rows with a large matrix, which is read once and as it lies: a BLAS would copy it first.
#define GRAFT_SIMD_FILE "graft/tensor/detail/few_rows_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
