#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/retrieval/rerank_join.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/text/tokenizer.hpp"

namespace torch::nn {
class Module;
}

namespace graft {

namespace detail {
struct CrossEncoderParts;
}

struct CrossEncoderModelOptions {
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;   ///< of weights and hidden states
  std::optional<std::size_t> max_tokens = {};  ///< of a pair, instead of the directory's own limit
  bool new_head = false;  ///< take an encoder's directory too, and draw a head from LibTorch's generator
};

/// The model of a cross-encoder, to be trained: a BERT, RoBERTa or MPNet that gives a pair of texts one number.
///
///     CrossEncoderModel model("all-MiniLM-L6-v2", {.new_head = true});
///     Trainer trainer(model.module(), {.lr = 5e-5});
///     trainer.train(data, [&](const RankedTexts::Batch& batch) {
///       return listwise_cross_entropy(model.logits(batch.tokens), batch.grades, batch.offsets);
///     });
///     model.save("reranker");
///
/// A copy shares the model. Reads what CrossEncoder reads; with `new_head` also directories of transformers' plain
/// encoders and of sentence-transformers' embedders, whose encoder it takes. Threads: logits() may run on many at once
/// in evaluation mode, while nothing changes the model.
class CrossEncoderModel {
 public:
  /// In evaluation mode. Throws FileError and FormatError as load_pretrained() and Tokenizer::load() do; FormatError,
  /// naming file and field, for an encoder without a head unless `new_head`, more outputs than one, an activation that
  /// graft does not have, a tokenizer of another model; OptionError for max_tokens that leave no room for the texts or
  /// exceed what the encoder takes.
  explicit CrossEncoderModel(const std::filesystem::path& directory, const CrossEncoderModelOptions& options = {});

  /// The model under the names of its files, for Trainer, attach() and the like.
  torch::nn::Module& module() const;

  /// One for each pair: [N], in the type of the weights. Throws as BertModelImpl::forward() does.
  torch::Tensor logits(const PackedBatch& batch) const;

  /// The activation that the directory names, on logits; the logistic function if it names none.
  torch::Tensor scores(const torch::Tensor& logits) const;
  double logit(double score) const;  ///< what has that score; infinite for one at or beyond an end of their range
  std::string activation() const;    ///< as torch names it: "torch.nn.modules.activation.Sigmoid"

  const Tokenizer& tokenizer() const;
  const std::string& prompt() const;              ///< goes before each question; mostly nothing
  std::size_t max_tokens() const;                 ///< of a pair with its special tokens
  const std::vector<std::string>& drawn() const;  ///< the weights that the directory did not have
  torch::Device device() const;

  /// Makes `slope` x + `intercept` of each logit x from now on, by changing the head's last weights: what is saved
  /// gives the same whoever reads it; its config.json has a note of both numbers. The order of passages stays, that by
  /// rerank_weights() too: the reranker's is divided by `slope`. Throws OptionError unless slope is above 0 and both
  /// are finite, StateError while an adapter is on that layer.
  void rescale(double slope, double intercept);

  /// How its logits and the search's scores are joined, for Query::rerank_weights: as learned on held-out questions and
  /// kept in the directory's config.json, which save() writes; unless something was, the reranker decides alone.
  const RerankWeights& rerank_weights() const;
  void set_rerank_weights(const RerankWeights& weights);  ///< throws OptionError for weights out of range

  /// Writes a directory that CrossEncoder, sentence-transformers' CrossEncoder and transformers open: config.json with
  /// the activation, one label and max_tokens() as the limit, the weights, the tokenizer's files. It appears whole or
  /// not at all. Throws as save_pretrained() does; merge() adapters before.
  void save(const std::filesystem::path& directory, bool replace = false) const;

 private:
  std::shared_ptr<detail::CrossEncoderParts> parts_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/cross_encoder_model-inl.hpp"
#endif
