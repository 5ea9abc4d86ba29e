#pragma once

#include "graft/ops/kernels/attention_kernels.hpp"
#include "graft/ops/kernels/few_rows_kernels.hpp"

namespace graft::detail {

/// New tokens of one sequence with the heads that share one key head.
template <class T>
struct CachedAttention {
  HeadRows<const T> q;
  HeadRows<T> out;
  std::int64_t first, count, head, group, size;  ///< tokens of q, first of the query heads, how many, elements of each
  const T *keys, *values;                        ///< [held, size]
  std::int64_t held;                             ///< the new tokens are the last of them
  std::int64_t window;
  T scale;
};

}  // namespace graft::detail

/// attend_cached(): attention of a few queries to many keys, which are read as they lie.
#define GRAFT_SIMD_FILE "graft/ops/kernels/cached_attention_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
