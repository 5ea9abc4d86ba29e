#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/rag/cross_encoder_model.hpp"
#include "graft/retrieval/query.hpp"

namespace graft {

struct CrossEncoderOptions {
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;  ///< of weights and hidden states; scores are computed from float32 logits
  std::optional<std::size_t> max_tokens = {};  ///< of a pair, instead of the directory's own limit
  std::int64_t batch_tokens = 4096;            ///< tokens that go through the model at once, or one longer pair

  /// Called after each batch with the pairs and tokens in it, special ones included; by the thread that scores.
  std::function<void(std::int64_t pairs, std::int64_t tokens)> progress = {};
};

/// Reads question and passage together and says how well the one answers the other: slower than comparing vectors, and
/// better. For the first hits of a search:
///
///     const CrossEncoder reranker("ms-marco-MiniLM-L6-v2");
///     reranker.rerank(query);
///     const std::vector<Hit> hits = retriever.search(query);
///
/// Takes BERT, RoBERTa and MPNet sequence classifiers with one output, in the layouts of transformers and of
/// sentence-transformers, with the activation that the directory names. Scores are those of sentence-transformers'
/// CrossEncoder.predict(): the logistic function's, unless the directory says otherwise. The question is made into
/// tokens once; pairs are cut to max_tokens() (the longer text first), sorted by length and packed, so no padding is
/// computed. No gradient is recorded. Threads: every member may run on many at once.
class CrossEncoder {
 public:
  /// Throws as CrossEncoderModel does, and OptionError for a batch without tokens.
  explicit CrossEncoder(const std::filesystem::path& directory, const CrossEncoderOptions& options = {});

  /// A model that is there, such as one being trained, with its own device, type and max_tokens. It must be in
  /// evaluation mode while score() runs.
  explicit CrossEncoder(CrossEncoderModel model, const CrossEncoderOptions& options = {});

  /// How well each passage answers the question, larger is better, in their order.
  std::vector<double> score(const std::string& question, std::span<const std::string> passages) const;

  /// The same before the activation.
  std::vector<double> logits(const std::string& question, std::span<const std::string> passages) const;

  /// score() for Query::rerank and NegativesOptions::judge. Shares the model, and does not refer to this object.
  RerankFunction function() const;

  /// Sets `query` to have its hits reranked for the text that it has now, which may be taken out afterwards to search
  /// by vector alone: Query::rerank, rerank_weights and least_score. By score(); where `weights` join it with the
  /// search's scores by logits(), and Hit::rerank_score is of those. `least_score` is of score() in both cases.
  /// Throws OptionError for weights out of range.
  void rerank(Query& query, const RerankWeights& weights, std::optional<double> least_score = {}) const;

  /// The same with the weights that the model's directory has.
  void rerank(Query& query) const { rerank(query, model_.rerank_weights()); }

  const CrossEncoderModel& model() const { return model_; }
  std::size_t max_tokens() const { return model_.max_tokens(); }  ///< of a pair with its special tokens

 private:
  torch::Tensor run(const std::string& question, std::span<const std::string> passages) const;

  CrossEncoderOptions options_;
  CrossEncoderModel model_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/cross_encoder-inl.hpp"
#endif
