#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/layers/add_norm.hpp"
#include "graft/layers/embeddings.hpp"
#include "graft/layers/feed_forward.hpp"
#include "graft/models/encoder_config.hpp"
#include "graft/tensor/packed.hpp"

namespace graft {

/// What a transformer layer with norms after the residuals has behind its attention: [T, D] -> [T, D].
/// Children: `intermediate`, `output`.
class EncoderLayer : public torch::nn::Module {
 protected:
  void register_feed_forward(const EncoderConfig& config);
  torch::Tensor feed_forward(const torch::Tensor& attended) { return output_(intermediate_(attended), attended); }

 private:
  Dense intermediate_{nullptr};
  AddNorm output_{nullptr};
};

/// What an encoder gives for a batch of T tokens in N sequences.
struct BertStates {
  torch::Tensor hidden;  ///< [T, D]
  torch::Tensor pooled;  ///< [N, D]: tanh of a projection of each sequence's first token; undefined without a pooler
};

/// What BERT and MPNet share around their layers. Children: `embeddings`, what the family adds, `pooler`.
class EncoderModel : public torch::nn::Module {
 public:
  /// Throws ShapeError for a sequence without tokens or one longer than config().max_tokens(), and OptionError for an
  /// id or type outside the tables; the last two are looked for where the ids lie on the CPU.
  BertStates forward(const PackedBatch& batch);

  virtual torch::Tensor hidden(const PackedBatch& batch) = 0;  ///< [T, D]
  virtual torch::Tensor first(const PackedBatch& batch) = 0;   ///< [N, D]: hidden states of the first tokens
  torch::Tensor pooled(const PackedBatch& batch);              ///< [N, D]. Throws StateError without a pooler.

  /// Their weight [V, D] is what a language-model head shares.
  const Embedding& words() const { return embeddings_->words(); }

 protected:
  /// Behind all other children: registers the pooler and draws all weights (initialize_normal()).
  void finish(const EncoderConfig& config, bool with_pooler);

  TokenEmbeddings embeddings_{nullptr};

 private:
  Dense pooler_{nullptr};
};

/// RoBERTa's positions: tokens other than padding are counted from `padding` + 1, a padding token stands at `padding`.
/// ids, positions (from 0 in each sequence) [T] -> [T].
torch::Tensor roberta_positions(const torch::Tensor& ids, const torch::Tensor& positions, std::int64_t padding);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/encoder-inl.hpp"
#endif
