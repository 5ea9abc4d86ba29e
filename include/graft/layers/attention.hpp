#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
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

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/attention-inl.hpp"
#endif
