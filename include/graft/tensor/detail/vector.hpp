#pragma once

#include <cmath>

#include "graft/tensor/detail/simd.hpp"

/// Vectors of each level's width, and the elementary functions on them.
#define GRAFT_SIMD_FILE "graft/tensor/detail/vector.inc"
#include "graft/tensor/detail/for_each_simd.inc"
