#pragma once

#include "graft/tensor/detail/vector.hpp"

/// keep_bits(): the random bits of dropout, the same at every level.
#define GRAFT_SIMD_FILE "graft/tensor/detail/random_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
