#pragma once

#include "graft/ops/kernels/vector.hpp"

/// keep_bits(): the random bits of dropout, the same at every level.
#define GRAFT_SIMD_FILE "graft/ops/kernels/random_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
