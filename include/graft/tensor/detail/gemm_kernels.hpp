#pragma once

#include <algorithm>

#include "graft/tensor/detail/vector.hpp"

/// multiply(): products of small or thin matrices that lie in the caches.
#define GRAFT_SIMD_FILE "graft/tensor/detail/gemm_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
