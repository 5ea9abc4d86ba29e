#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/error.hpp"
#include "graft/ops/attention.hpp"

namespace graft {

/// Sizes and regularisation of multi-head attention.
struct SelfAttentionOptions {
  std::int64_t hidden = 0;  ///< D, a multiple of `heads`
  std::int64_t heads = 0;   ///< H
  double dropout = 0.0;     ///< chance that an attention weight is zeroed in training
};

/// Every token looks at every token of its own sequence, in H heads of width D / H:
///   y = concat over heads of softmax(q k^T / sqrt(D / H)) v,   q = query(x), k = key(x), v = value(x)
///
/// Shapes: x, y [T, D]; offsets as attention() wants them. Children: `query`, `key`, `value`. What follows (a
/// projection, residual, norm) belongs to the layer around it. Source: Vaswani et al., Attention Is All You Need,
/// arXiv:1706.03762, section 3.2.
class SelfAttentionImpl : public torch::nn::Module {
 public:
  /// Throws OptionError if `heads` does not divide `hidden`.
  explicit SelfAttentionImpl(const SelfAttentionOptions& options);

  torch::Tensor forward(const torch::Tensor& x, const Offsets& offsets);

 private:
  SelfAttentionOptions options_;
  Linear query_, key_, value_;
};
TORCH_MODULE(SelfAttention);

inline SelfAttentionImpl::SelfAttentionImpl(const SelfAttentionOptions& options)
    : options_(options),
      query_(register_module("query", Linear(options.hidden, options.hidden))),
      key_(register_module("key", Linear(options.hidden, options.hidden))),
      value_(register_module("value", Linear(options.hidden, options.hidden))) {
  if (options.heads < 1 || options.hidden % options.heads != 0)
    throw OptionError(message(options.heads, " attention heads do not divide a hidden size of ", options.hidden));
}

inline torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& x, const Offsets& offsets) {
  const auto split = [&](const torch::Tensor& projected) { return projected.unflatten(-1, {options_.heads, -1}); };
  const AttentionOptions options{.dropout = is_training() ? options_.dropout : 0.0};
  const std::vector<torch::Tensor> projected = forward_together(x, query_, key_, value_);
  return attention(split(projected[0]), split(projected[1]), split(projected[2]), offsets, options).flatten(-2);
}

}  // namespace graft
