#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// Which of 32 buckets holds each distance from a query to a key: int64 [2 R - 1], distance c (c < 0: the key is
/// before the query) at R - 1 + c. With a table of one row a bucket it makes the distance_bias of attention().
///
/// Half of the buckets are for keys behind the query. Of either half, eight hold the distances 0 to 7, one each, and
/// the next eight what follows, each to sqrt(2) times the distance of the one before; the last holds all from 91 on.
/// `reach`, R, is at least 1. Source: Raffel et al., T5, arXiv:1910.10683, section 2.1, and its published code.
at::Tensor relative_position_buckets(std::int64_t reach);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/relative_position-inl.hpp"
#endif
