#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "graft/tensor/detail/gemm_kernels.hpp"
#include "graft/tensor/detail/row_kernels.hpp"

namespace graft::detail {

/// [T, H, d] in memory, the last size without gaps.
template <class S>
struct HeadRows {
  S* data = nullptr;
  std::int64_t token = 0, head = 0;  ///< elements from one token, or one head, to the next

  S* at(std::int64_t t, std::int64_t h) const { return data + t * token + h * head; }
};

/// What one pair of sequence and key head needs: tokens first to first + length, query heads group * kv_head and on.
struct AttentionTask {
  std::int64_t first, length, kv_head;
  std::int64_t bits;  ///< first word of the keep bits of this pair
};

struct AttentionShape {
  std::int64_t heads, group, size;  ///< query heads, query heads that share a key head, elements of a head
  double scale;
  bool causal;
  std::int64_t window;      ///< tokens that one may see, itself the last; 0: no such limit
  double keep_scale;        ///< 1 / the chance that a weight is kept; 1 without dropout
  std::uint64_t* keep;      ///< null without dropout
  std::uint64_t key;        ///< of the random bits
  std::uint32_t threshold;  ///< as in keep_bits()

  std::int64_t words(std::int64_t length) const { return (length + 63) / 64; }

  /// The first key that a query may see.
  std::int64_t first_key(std::int64_t query) const { return window > 0 && query >= window ? query - window + 1 : 0; }
};

template <class S>
struct AttentionForward {
  HeadRows<const S> q, k, v;
  HeadRows<S> out;
  compute_t<S>* logsumexp;  ///< [T, H]
};

template <class S>
struct AttentionBackward {
  HeadRows<const S> q, k, v, out, grad;
  const compute_t<S>* logsumexp;
  HeadRows<S> dq, dk, dv;
};

}  // namespace graft::detail

/// attend() and attend_backward(): attention of one sequence and key head.
#define GRAFT_SIMD_FILE "graft/tensor/detail/attention_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
