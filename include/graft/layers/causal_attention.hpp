#pragma once

#include <cstdint>
#include <optional>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/mode.hpp"
#include "graft/layers/kv_cache.hpp"
#include "graft/layers/rms_norm.hpp"
#include "graft/layers/rotary.hpp"

namespace graft {

/// What the layers of a decoder need to know of a batch beside its hidden states.
struct DecoderInput {
  torch::Tensor offsets;         ///< [N + 1] int64 on the CPU
  RotaryAngles angles{};         ///< of layers that see everything
  RotaryAngles window_angles{};  ///< of layers with a window
  KvCache* cache = nullptr;      ///< what the sequences have been through; null: nothing, and nothing is kept
};

/// Sizes of attention in a decoder.
struct CausalAttentionOptions {
  std::int64_t layer = 0;                 ///< its place in the cache
  std::int64_t hidden = 0;                ///< D
  std::int64_t heads = 0;                 ///< H
  std::int64_t key_heads = 0;             ///< G, a divisor of H: each serves H / G heads of queries
  std::int64_t head_size = 0;             ///< d
  double scale = 1.0;                     ///< of the products of query and key
  std::int64_t window = 0;                ///< tokens that one sees, itself the last; 0: all before it
  double dropout = 0.0;                   ///< chance that an attention weight is zeroed in training
  bool bias = false;                      ///< of the projections to queries, keys and values
  bool output_bias = false;               ///< of the projection behind
  std::optional<double> head_norm_eps{};  ///< if set, queries and keys are normed head by head before they are turned
  double norm_offset = 0.0;               ///< of these norms; see RmsNorm
};

/// Attention of Llama and those after it: queries and keys are turned by their positions, and groups of query heads
/// share a key head.
///
/// Shapes: x, y [T, D]. Children: `q_proj`, `k_proj`, `v_proj`, `o_proj`, and `q_norm`, `k_norm` with head_norm_eps.
/// Source: Touvron et al., Llama, arXiv:2302.13971; Ainslie et al., GQA, arXiv:2305.13245.
class CausalSelfAttentionImpl : public torch::nn::Module {
 public:
  explicit CausalSelfAttentionImpl(const CausalAttentionOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const DecoderInput& input);

 private:
  CausalAttentionOptions options_;
  Linear q_proj_{nullptr}, k_proj_{nullptr}, v_proj_{nullptr}, o_proj_{nullptr};
  RmsNorm q_norm_{nullptr}, k_norm_{nullptr};
};
TORCH_MODULE(CausalSelfAttention);

/// Attention of GPT-2: one projection to queries, keys and values, no turning.
///
/// Shapes: x, y [T, D]. Children: `c_attn`, `c_proj`.
/// Source: Radford et al., Language models are unsupervised multitask learners, 2019, and its published code.
class JointSelfAttentionImpl : public torch::nn::Module {
 public:
  explicit JointSelfAttentionImpl(const CausalAttentionOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const DecoderInput& input);

 private:
  CausalAttentionOptions options_;
  Linear c_attn_{nullptr}, c_proj_{nullptr};
};
TORCH_MODULE(JointSelfAttention);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/causal_attention-inl.hpp"
#endif
