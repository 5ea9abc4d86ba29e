#pragma once

#include <algorithm>
#include <vector>

#include "graft/ops/kernels/gemm_kernels.hpp"

/// Products of few rows with a large matrix, which is read once and as it lies: a BLAS would copy it first.
#define GRAFT_SIMD_FILE "graft/ops/kernels/few_rows_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
