#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/layers/kv_cache.hpp"
#include "graft/layers/rms_norm.hpp"
#include "graft/layers/rotary.hpp"
#include "graft/ops/attention.hpp"

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

namespace detail {

inline torch::Tensor attend_causally(const CausalAttentionOptions& options, const torch::Tensor& q,
                                     const torch::Tensor& k, const torch::Tensor& v, const DecoderInput& input,
                                     bool training) {
  const AttentionOptions attention_options{
      .dropout = training ? options.dropout : 0.0, .causal = true, .window = options.window, .scale = options.scale};
  if (input.cache) return input.cache->attend(options.layer, q, k, v, input.offsets, attention_options).flatten(-2);
  return attention(q, k, v, input.offsets, attention_options).flatten(-2);
}

}  // namespace detail

inline CausalSelfAttentionImpl::CausalSelfAttentionImpl(const CausalAttentionOptions& options) : options_(options) {
  const auto linear = [&](const char* name, std::int64_t in, std::int64_t out, bool bias) {
    return register_module(name, Linear(torch::nn::LinearOptions(in, out).bias(bias)));
  };
  q_proj_ = linear("q_proj", options.hidden, options.heads * options.head_size, options.bias);
  k_proj_ = linear("k_proj", options.hidden, options.key_heads * options.head_size, options.bias);
  v_proj_ = linear("v_proj", options.hidden, options.key_heads * options.head_size, options.bias);
  o_proj_ = linear("o_proj", options.heads * options.head_size, options.hidden, options.output_bias);
  if (!options.head_norm_eps) return;
  q_norm_ = register_module("q_norm", RmsNorm(options.head_size, *options.head_norm_eps, options.norm_offset));
  k_norm_ = register_module("k_norm", RmsNorm(options.head_size, *options.head_norm_eps, options.norm_offset));
}

inline torch::Tensor CausalSelfAttentionImpl::forward(const torch::Tensor& x, const DecoderInput& input) {
  std::vector<torch::Tensor> projected = forward_together(x, q_proj_, k_proj_, v_proj_);
  for (torch::Tensor& part : projected) part = part.unflatten(-1, {-1, options_.head_size});
  if (q_norm_) {
    projected[0] = q_norm_(projected[0]);
    projected[1] = k_norm_(projected[1]);
  }
  const RotaryAngles& angles = options_.window > 0 ? input.window_angles : input.angles;
  return o_proj_(detail::attend_causally(options_, rotate(projected[0], angles), rotate(projected[1], angles),
                                         projected[2], input, is_training()));
}

inline JointSelfAttentionImpl::JointSelfAttentionImpl(const CausalAttentionOptions& options)
    : options_(options),
      c_attn_(register_module("c_attn",
                              Linear(torch::nn::LinearOptions(options.hidden, 3 * options.hidden).bias(options.bias)))),
      c_proj_(register_module(
          "c_proj", Linear(torch::nn::LinearOptions(options.hidden, options.hidden).bias(options.output_bias)))) {}

inline torch::Tensor JointSelfAttentionImpl::forward(const torch::Tensor& x, const DecoderInput& input) {
  const torch::Tensor joint = c_attn_(x).unflatten(-1, {3, options_.heads, options_.head_size});
  return c_proj_(detail::attend_causally(options_, joint.select(1, 0), joint.select(1, 1), joint.select(1, 2), input,
                                         is_training()));
}

}  // namespace graft
