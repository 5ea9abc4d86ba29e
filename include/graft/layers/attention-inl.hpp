#pragma once

#include "graft/layers/attention.hpp"

namespace graft {

GRAFT_INLINE SelfAttentionImpl::SelfAttentionImpl(const SelfAttentionOptions& options)
    : options_(options),
      query_(register_module("query", Linear(options.hidden, options.hidden))),
      key_(register_module("key", Linear(options.hidden, options.hidden))),
      value_(register_module("value", Linear(options.hidden, options.hidden))) {
  if (options.heads < 1 || options.hidden % options.heads != 0)
    throw OptionError(message(options.heads, " attention heads do not divide a hidden size of ", options.hidden));
}

GRAFT_INLINE torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& x, const Offsets& offsets) {
  const auto split = [&](const torch::Tensor& projected) { return projected.unflatten(-1, {options_.heads, -1}); };
  const AttentionOptions options{.dropout = is_training() ? options_.dropout : 0.0};
  const std::vector<torch::Tensor> projected = forward_together(x, query_, key_, value_);
  return attention(split(projected[0]), split(projected[1]), split(projected[2]), offsets, options).flatten(-2);
}

}  // namespace graft
