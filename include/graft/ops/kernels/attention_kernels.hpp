#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "graft/ops/kernels/gemm_kernels.hpp"
#include "graft/ops/kernels/row_kernels.hpp"

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

/// What the distance from a query to a key adds to their product, [H, 2 reach - 1]: distance 0 lies in the middle.
template <class T>
struct DistanceBias {
  const T* data = nullptr;  ///< null: nothing
  std::int64_t reach = 0;

  /// Where key 0 of a sequence has its element for this query of it; the other keys follow.
  const T* keys_of(std::int64_t head, std::int64_t query) const {
    return data + head * (2 * reach - 1) + reach - 1 - query;
  }
};

/// Its gradient from each sequence alone, so that the sum does not depend on threads: [H, 2 T], where a sequence of n
/// tokens, the first of them `first`, has the 2 n - 1 elements from 2 first.
template <class T>
struct DistanceBiasGrads {
  T* data = nullptr;  ///< null: not wanted
  std::int64_t tokens = 0;

  T* keys_of(const AttentionTask& task, std::int64_t head, std::int64_t query) const {
    return data + 2 * (head * tokens + task.first) + task.length - 1 - query;
  }
};

template <class S>
struct AttentionForward {
  HeadRows<const S> q, k, v;
  HeadRows<S> out;
  compute_t<S>* logsumexp;  ///< [T, H]
  DistanceBias<compute_t<S>> bias;
};

template <class S>
struct AttentionBackward {
  HeadRows<const S> q, k, v, out, grad;
  const compute_t<S>* logsumexp;
  HeadRows<S> dq, dk, dv;
  DistanceBias<compute_t<S>> bias;
  DistanceBiasGrads<compute_t<S>> dbias;
};

}  // namespace graft::detail

/// attend() and attend_backward(): attention of one sequence and key head.
#define GRAFT_SIMD_FILE "graft/ops/kernels/attention_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
