#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/mode.hpp"
#include "graft/tensor/offsets.hpp"

namespace graft {

/// Sizes, regularisation and names of multi-head attention.
struct SelfAttentionOptions {
  std::int64_t hidden = 0;  ///< D, a multiple of `heads`
  std::int64_t heads = 0;   ///< H
  double dropout = 0.0;     ///< chance that an attention weight is zeroed in training
  std::string query = "query", key = "key", value = "value";
  std::string output{};  ///< of a projection behind attention; empty: none
};

/// Every token looks at every token of its own sequence, in H heads of width D / H:
///   y = concat over heads of softmax(q k^T / sqrt(D / H) + bias) v,   q = query(x), k = key(x), v = value(x)
///
/// Shapes: x, y [T, D]; offsets and distance_bias as attention() wants them. Children: as the options call them. What
/// follows (a residual, a norm, and without `output` a projection) belongs to the layer around it.
/// Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762, section 3.2.
class SelfAttentionImpl : public torch::nn::Module {
 public:
  /// Throws OptionError if `heads` does not divide `hidden`.
  explicit SelfAttentionImpl(const SelfAttentionOptions& options);

  torch::Tensor forward(const torch::Tensor& x, const Offsets& offsets, const torch::Tensor& distance_bias = {});

 private:
  std::int64_t heads_;
  double dropout_;
  Linear query_, key_, value_, output_{nullptr};
};
TORCH_MODULE(SelfAttention);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/attention-inl.hpp"
#endif
