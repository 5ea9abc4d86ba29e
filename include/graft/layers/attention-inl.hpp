#pragma once

#include <vector>

#include "graft/core/error.hpp"
#include "graft/layers/attention.hpp"
#include "graft/ops/attention.hpp"

namespace graft {

GRAFT_INLINE SelfAttentionImpl::SelfAttentionImpl(const SelfAttentionOptions& options)
    : heads_(options.heads),
      dropout_(options.dropout),
      query_(register_module(options.query, Linear(options.hidden, options.hidden))),
      key_(register_module(options.key, Linear(options.hidden, options.hidden))),
      value_(register_module(options.value, Linear(options.hidden, options.hidden))) {
  if (heads_ < 1 || options.hidden % heads_ != 0)
    throw OptionError(message(heads_, " attention heads do not divide a hidden size of ", options.hidden));
  if (!options.output.empty()) output_ = register_module(options.output, Linear(options.hidden, options.hidden));
}

GRAFT_INLINE torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& x, const Offsets& offsets,
                                                      const torch::Tensor& distance_bias) {
  const AttentionOptions options{.dropout = is_training() ? dropout_ : 0.0};
  std::vector<torch::Tensor> heads = forward_together(x, query_, key_, value_);
  for (torch::Tensor& projected : heads) projected = projected.unflatten(-1, {heads_, -1});
  const torch::Tensor y = attention(heads[0], heads[1], heads[2], offsets, options, distance_bias).flatten(-2);
  return output_ ? output_(y) : y;
}

}  // namespace graft
