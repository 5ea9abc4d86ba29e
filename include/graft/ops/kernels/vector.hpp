#pragma once

#include <cmath>

#include "graft/ops/kernels/simd.hpp"

/// Vectors of each level's width, and the elementary functions on them.
#define GRAFT_SIMD_FILE "graft/ops/kernels/vector.inc"
#include "graft/ops/kernels/for_each_simd.inc"
