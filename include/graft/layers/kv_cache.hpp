#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/ops/attention.hpp"
#include "graft/ops/cached_attention.hpp"

namespace graft {

/// The keys and values of all tokens that N sequences have been through, layer by layer, each sequence of its own
/// length, so that a next token costs one token's work. Made empty for a model's layers; the model fills it.
///
/// Memory: 2 x layers x N x rows x G x d elements, where rows is the longest sequence with room to grow.
/// Threads: one model at a time.
class KvCache {
 public:
  /// For `sequences` sequences of a model with `layers` layers, with room for `rows` tokens each at first.
  KvCache(std::int64_t sequences, std::int64_t layers, std::int64_t rows = 0)
      : layers_(static_cast<std::size_t>(std::max<std::int64_t>(layers, 0))), rows_(rows) {
    if (sequences < 1 || layers < 1 || rows < 0)
      throw OptionError(message("a cache of ", sequences, " sequences, ", layers, " layers and ", rows,
                                " rows; choose at least one sequence and layer, and no negative number of rows"));
    lengths_ = torch::zeros({sequences}, torch::kInt64);
    after_ = lengths_.clone();
  }

  std::int64_t sequences() const { return lengths_.size(0); }
  std::int64_t layers() const { return static_cast<std::int64_t>(layers_.size()); }

  /// Tokens that sequence `n` has been through.
  std::int64_t length(std::int64_t n) const { return lengths_.const_data_ptr<std::int64_t>()[checked(n)]; }

  /// Forgets what sequence `n` has beyond `length` tokens. Throws OptionError if it has fewer.
  void truncate(std::int64_t n, std::int64_t length);

  /// Bytes of all keys and values, with the room.
  std::int64_t bytes() const;

  // What a model calls, in this order: begin(), attend() once in each layer, commit(). Without commit() nothing counts.

  /// New tokens, by `offsets` [N + 1]; some sequences may have none.
  void begin(const torch::Tensor& offsets);

  /// Keeps the new tokens' keys and values [T, G, d] of layer `layer`, and gives the attention of q [T, H, d] to all
  /// that its sequences hold. Causal whatever `options` says.
  torch::Tensor attend(std::int64_t layer, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                       const torch::Tensor& offsets, const AttentionOptions& options);

  void commit() { lengths_.copy_(after_); }

  /// Positions of the new tokens: `positions` counted from 0 in each sequence, behind what the sequence holds.
  torch::Tensor shifted(const torch::Tensor& positions, const torch::Tensor& offsets) const;

 private:
  struct Layer {
    torch::Tensor keys, values;  // [N, G, rows, d]
  };

  std::int64_t checked(std::int64_t n) const {
    if (n < 0 || n >= sequences())
      throw OptionError(message("sequence ", n, " of a cache for ", sequences(), "; choose 0 to ", sequences() - 1));
    return n;
  }
  void reserve(Layer& layer, const torch::Tensor& k);
  void store(torch::Tensor& to, const torch::Tensor& from, const torch::Tensor& offsets);

  std::vector<Layer> layers_;
  std::int64_t rows_;
  torch::Tensor lengths_, after_;  // [N] int64: before and with the new tokens
  bool empty_ = true;              // before the new tokens
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/kv_cache-inl.hpp"
#endif
