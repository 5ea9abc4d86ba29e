#pragma once

#include <torch/nn/modules/normalization.h>

#include "graft/layers/add_norm.hpp"
#include "graft/layers/embeddings.hpp"
#include "graft/ops/dropout.hpp"

namespace graft {

GRAFT_INLINE TokenEmbeddingsImpl::TokenEmbeddingsImpl(const TokenEmbeddingsOptions& options)
    : words_(register_module(
          "word_embeddings",
          Embedding(torch::nn::EmbeddingOptions(options.vocabulary, options.hidden).padding_idx(options.padding)))),
      positions_(register_module(
          "position_embeddings",
          Embedding(
              torch::nn::EmbeddingOptions(options.positions, options.hidden).padding_idx(options.padding_position)))),
      dropout_(options.dropout) {
  if (options.types > 0) {
    types_ =
        register_module("token_type_embeddings", Embedding(torch::nn::EmbeddingOptions(options.types, options.hidden)));
  }
  norm_ = register_module("LayerNorm", detail::make_layer_norm(options.hidden, options.eps));
}

GRAFT_INLINE torch::Tensor TokenEmbeddingsImpl::forward(const torch::Tensor& ids, const torch::Tensor& type_ids,
                                                        const torch::Tensor& positions) {
  const torch::Tensor words = words_(ids).to(norm_->weight.scalar_type());
  const torch::Tensor sum = (types_ ? words + types_(type_ids) : words) + positions_(positions);
  return dropout(norm_->forward(sum), is_training() ? dropout_ : 0.0);
}

}  // namespace graft
