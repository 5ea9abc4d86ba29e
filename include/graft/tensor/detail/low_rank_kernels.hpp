#pragma once

#include <algorithm>
#include <vector>

#include "graft/tensor/detail/few_rows_kernels.hpp"
#include "graft/tensor/detail/gemm_kernels.hpp"
#include "graft/tensor/detail/row_kernels.hpp"

/// Products of a tall matrix and a thin one, with dropout's bits applied on the way.
#define GRAFT_SIMD_FILE "graft/tensor/detail/low_rank_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
