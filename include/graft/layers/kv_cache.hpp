#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"
#include "graft/ops/attention.hpp"

namespace graft {

/// The keys and values of all tokens that N sequences have been through, layer by layer, each sequence of its own
/// length, so that a next token costs one token's work. Made empty for a model's layers; the model fills it.
///
/// Memory: 2 x layers x N x rows x G x d elements, where rows is the longest sequence with room to grow.
/// Threads: one model at a time.
class KvCache {
 public:
  /// For `sequences` sequences of a model with `layers` layers, with room for `rows` tokens each at first.
  /// Throws OptionError for fewer than one sequence or layer, or a negative number of rows.
  KvCache(std::int64_t sequences, std::int64_t layers, std::int64_t rows = 0);

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
  void begin(const at::Tensor& offsets);

  /// Keeps the new tokens' keys and values [T, G, d] of layer `layer`, and gives the attention of q [T, H, d] to all
  /// that its sequences hold. Causal whatever `options` says.
  at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& offsets, const AttentionOptions& options);

  void commit() { lengths_.copy_(after_); }

  /// Positions of the new tokens: `positions` counted from 0 in each sequence, behind what the sequence holds.
  at::Tensor shifted(const at::Tensor& positions, const at::Tensor& offsets) const;

 private:
  struct Layer {
    at::Tensor keys, values;  // [N, G, rows, d]
  };

  std::int64_t checked(std::int64_t n) const;
  void reserve(Layer& layer, const at::Tensor& k);
  void store(at::Tensor& to, const at::Tensor& from, const at::Tensor& offsets);

  std::vector<Layer> layers_;
  std::int64_t rows_;
  at::Tensor lengths_, after_;  // [N] int64: before and with the new tokens
  bool empty_ = true;           // before the new tokens
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/kv_cache-inl.hpp"
#endif
