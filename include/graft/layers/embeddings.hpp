#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/mode.hpp"

namespace torch::nn {
class LayerNormImpl;
}

namespace graft {

/// Sizes and regularisation of the input of an encoder.
struct TokenEmbeddingsOptions {
  std::int64_t vocabulary = 0;
  std::int64_t positions = 0;
  std::int64_t types = 0;   ///< kinds of segment, such as first and second text of a pair; 0: none are told apart
  std::int64_t hidden = 0;  ///< D
  std::optional<std::int64_t> padding{};           ///< a word whose row is never trained
  std::optional<std::int64_t> padding_position{};  ///< a position whose row is never trained
  double dropout = 0.0;
  double eps = 1e-12;  ///< of the norm
};

/// Token ids to hidden states:  y = dropout(LayerNorm(word + type + position))
///
/// Shapes: ids, type_ids, positions [T] int64 -> y [T, D]. Without types there is no such term, and type_ids may be
/// undefined. Children: `word_embeddings`, `position_embeddings`, `token_type_embeddings` with types, `LayerNorm`.
/// Source: Devlin et al., BERT, arXiv:1810.04805, section 3.
class TokenEmbeddingsImpl : public torch::nn::Module {
 public:
  explicit TokenEmbeddingsImpl(const TokenEmbeddingsOptions& options);

  torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& type_ids, const torch::Tensor& positions);

  /// Their weight [V, D] is what a language-model head shares.
  const Embedding& words() const { return words_; }

 private:
  Embedding words_, positions_, types_{nullptr};
  std::shared_ptr<torch::nn::LayerNormImpl> norm_;
  double dropout_;
};
TORCH_MODULE(TokenEmbeddings);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/embeddings-inl.hpp"
#endif
