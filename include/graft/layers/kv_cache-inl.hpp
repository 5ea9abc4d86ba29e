#pragma once

#include <algorithm>
#include <cstring>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/layers/kv_cache.hpp"
#include "graft/ops/cached_attention.hpp"

namespace graft {

GRAFT_INLINE KvCache::KvCache(std::int64_t sequences, std::int64_t layers, std::int64_t rows)
    : layers_(static_cast<std::size_t>(std::max<std::int64_t>(layers, 0))), rows_(rows) {
  if (sequences < 1 || layers < 1 || rows < 0)
    throw OptionError(message("a cache of ", sequences, " sequences, ", layers, " layers and ", rows,
                              " rows; choose at least one sequence and layer, and no negative number of rows"));
  lengths_ = torch::zeros({sequences}, torch::kInt64);
  after_ = lengths_.clone();
}

GRAFT_INLINE std::int64_t KvCache::checked(std::int64_t n) const {
  if (n < 0 || n >= sequences())
    throw OptionError(message("sequence ", n, " of a cache for ", sequences(), "; choose 0 to ", sequences() - 1));
  return n;
}

GRAFT_INLINE void KvCache::truncate(std::int64_t n, std::int64_t length) {
  std::int64_t& held = lengths_.data_ptr<std::int64_t>()[checked(n)];
  if (length < 0 || length > held)
    throw OptionError(message("sequence ", n, " of the cache has ", held, " tokens and cannot be cut to ", length));
  held = length;
}

GRAFT_INLINE std::int64_t KvCache::bytes() const {
  std::int64_t total = 0;
  for (const Layer& layer : layers_)
    if (layer.keys.defined()) total += static_cast<std::int64_t>(layer.keys.nbytes() + layer.values.nbytes());
  return total;
}

GRAFT_INLINE void KvCache::begin(const torch::Tensor& offsets) {
  if (offsets.size(0) != sequences() + 1)
    throw ShapeError(message("a batch of ", offsets.size(0) - 1, " sequences for a cache of ", sequences(),
                             "; a sequence without new tokens is an empty one of the batch"));
  empty_ = lengths_.max().item<std::int64_t>() == 0;
  after_ = lengths_ + offsets.diff();
  const auto longest = after_.max().item<std::int64_t>();
  if (longest > rows_) rows_ = std::max(longest + 32, rows_ + rows_ / 2);
}

GRAFT_INLINE void KvCache::reserve(Layer& layer, const torch::Tensor& k) {
  if (layer.keys.defined() && layer.keys.size(2) >= rows_) return;
  for (torch::Tensor* kept : {&layer.keys, &layer.values}) {
    torch::Tensor larger = torch::empty({sequences(), k.size(1), rows_, k.size(2)}, k.options().requires_grad(false));
    if (kept->defined()) larger.narrow(2, 0, kept->size(2)).copy_(*kept);
    *kept = larger;
  }
}

GRAFT_INLINE void KvCache::store(torch::Tensor& to, const torch::Tensor& from, const torch::Tensor& offsets) {
  const auto* ends = offsets.const_data_ptr<std::int64_t>();
  const auto* held = lengths_.const_data_ptr<std::int64_t>();
  if (!from.is_cpu()) {
    for (std::int64_t n = 0; n < sequences(); ++n) {
      const std::int64_t count = ends[n + 1] - ends[n];
      to[n].narrow(1, held[n], count).copy_(from.narrow(0, ends[n], count).transpose(0, 1));
    }
    return;
  }
  // A copy_() for each sequence would cost more than the few bytes of a token.
  const torch::Tensor rows = from.contiguous();
  const std::int64_t heads = rows.size(1);
  const std::size_t bytes = static_cast<std::size_t>(rows.size(2)) * rows.element_size();
  const auto* source = static_cast<const std::byte*>(rows.const_data_ptr());
  auto* target = static_cast<std::byte*>(to.data_ptr());
  for (std::int64_t n = 0; n < sequences(); ++n) {
    for (std::int64_t t = ends[n]; t < ends[n + 1]; ++t) {
      for (std::int64_t g = 0; g < heads; ++g) {
        const std::int64_t row = (n * heads + g) * to.size(2) + held[n] + t - ends[n];
        std::memcpy(target + static_cast<std::size_t>(row) * bytes,
                    source + static_cast<std::size_t>(t * heads + g) * bytes, bytes);
      }
    }
  }
}

GRAFT_INLINE torch::Tensor KvCache::attend(std::int64_t layer, const torch::Tensor& q, const torch::Tensor& k,
                                           const torch::Tensor& v, const torch::Tensor& offsets,
                                           const AttentionOptions& options) {
  const torch::NoGradGuard no_grad;
  Layer& kept = layers_.at(static_cast<std::size_t>(layer));
  reserve(kept, k);
  store(kept.keys, k, offsets);
  store(kept.values, v, offsets);
  AttentionOptions causal = options;
  causal.causal = true;
  if (empty_) return attention(q, k, v, offsets, causal);
  return cached_attention(q, kept.keys, kept.values, offsets, after_, causal);
}

GRAFT_INLINE torch::Tensor KvCache::shifted(const torch::Tensor& positions, const torch::Tensor& offsets) const {
  torch::Tensor moved = positions.to(torch::kCPU).clone();
  auto* at = moved.data_ptr<std::int64_t>();
  const auto* ends = offsets.const_data_ptr<std::int64_t>();
  for (std::int64_t n = 0; n < sequences(); ++n) {
    for (std::int64_t t = ends[n]; t < ends[n + 1]; ++t) at[t] += length(n);
  }
  return moved.to(positions.device());
}

}  // namespace graft
