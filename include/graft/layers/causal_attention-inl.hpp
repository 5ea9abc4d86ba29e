#pragma once

#include <vector>

#include <torch/nn/modules/linear.h>

#include "graft/layers/causal_attention.hpp"
#include "graft/ops/attention.hpp"
#include "graft/ops/decoding.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE torch::Tensor attend_causally(const CausalAttentionOptions& options, const torch::Tensor& q,
                                           const torch::Tensor& k, const torch::Tensor& v, const DecoderInput& input,
                                           bool training) {
  const AttentionOptions attention_options{
      .dropout = training ? options.dropout : 0.0, .causal = true, .window = options.window, .scale = options.scale};
  if (input.cache) return input.cache->attend(options.layer, q, k, v, input.offsets, attention_options).flatten(-2);
  return attention(q, k, v, input.offsets, attention_options).flatten(-2);
}

}  // namespace detail

GRAFT_INLINE CausalSelfAttentionImpl::CausalSelfAttentionImpl(const CausalAttentionOptions& options)
    : options_(options) {
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

GRAFT_INLINE torch::Tensor CausalSelfAttentionImpl::forward(const torch::Tensor& x, const DecoderInput& input) {
  std::vector<torch::Tensor> projected = forward_together(x, q_proj_, k_proj_, v_proj_);
  for (torch::Tensor& part : projected) part = part.unflatten(-1, {-1, options_.head_size});
  if (q_norm_) {
    projected[0] = q_norm_(projected[0]);
    projected[1] = k_norm_(projected[1]);
  }
  const RotaryAngles& angles = options_.window > 0 ? input.window_angles : input.angles;
  const auto turned = [&](const torch::Tensor& x) { return rotate_pairs(x, angles.cos, angles.sin); };
  return o_proj_(detail::attend_causally(options_, turned(projected[0]), turned(projected[1]), projected[2], input,
                                         is_training()));
}

GRAFT_INLINE JointSelfAttentionImpl::JointSelfAttentionImpl(const CausalAttentionOptions& options)
    : options_(options),
      c_attn_(register_module("c_attn",
                              Linear(torch::nn::LinearOptions(options.hidden, 3 * options.hidden).bias(options.bias)))),
      c_proj_(register_module(
          "c_proj", Linear(torch::nn::LinearOptions(options.hidden, options.hidden).bias(options.output_bias)))) {}

GRAFT_INLINE torch::Tensor JointSelfAttentionImpl::forward(const torch::Tensor& x, const DecoderInput& input) {
  const torch::Tensor joint = c_attn_(x).unflatten(-1, {3, options_.heads, options_.head_size});
  return c_proj_(detail::attend_causally(options_, joint.select(1, 0), joint.select(1, 1), joint.select(1, 2), input,
                                         is_training()));
}

}  // namespace graft
