#pragma once

#include <algorithm>
#include <vector>

#include "graft/ops/kernels/few_rows_kernels.hpp"
#include "graft/ops/kernels/gemm_kernels.hpp"
#include "graft/ops/kernels/row_kernels.hpp"

/// Products of a tall matrix and a thin one, with dropout's bits applied on the way.
#define GRAFT_SIMD_FILE "graft/ops/kernels/low_rank_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
