#pragma once

#include <cstdint>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/training/loss.hpp"

namespace graft {

// What an encoder of questions and answers is trained by: of many vectors the right one shall be nearest. Counts are
// questions.

enum class Similarity { cosine, dot };

/// One vector for another: [N, D], [M, D] -> [N, M].
torch::Tensor similarities(const torch::Tensor& a, const torch::Tensor& b, Similarity similarity = Similarity::cosine);

struct InBatchSoftmaxOptions {
  double scale = 20.0;  ///< of similarities, > 0: 1 / temperature
  Similarity similarity = Similarity::cosine;
  bool symmetric = false;  ///< also each right answer among the questions, both halved
};

/// Cross-entropy of each question's answer among all answers of the batch. `questions` [N, D]; `answers` [M, D], M >=
/// N: row i answers question i, rows from N on are wrong for all (hard negatives). `not_rivals` [N, M] bool, if given,
/// marks answers that are left out for a question, such as a second copy of its own; never (i, i).
///
/// Equal to sentence-transformers' MultipleNegativesRankingLoss, without options and with both directions apart
/// ("per_direction"). Source: Henderson et al., arXiv:1705.00652; van den Oord et al., arXiv:1807.03748.
/// Throws ShapeError if the sizes do not fit, OptionError for another scale or if (i, i) is left out.
Loss in_batch_softmax(const torch::Tensor& questions, const torch::Tensor& answers,
                      const torch::Tensor& not_rivals = {}, const InBatchSoftmaxOptions& options = {});

struct StoredSoftmaxOptions {
  double scale = 30.0;  ///< of similarities, > 0: more than of a batch, as there are more to be told apart
  Similarity similarity = Similarity::cosine;

  /// A vector as near as this (cosine) to the right one is no rival of it; above 1 all are.
  double same_above = 0.95;
  std::int64_t block = 4096;  ///< vectors looked at together
};

/// Cross-entropy of each question's answer among all vectors that are stored, which are not trained: no document is
/// encoded, and a step costs a question. What is stored is gone through in blocks: no [N, M] is ever in memory.
/// Threads: a call changes nothing.
class StoredSoftmax {
 public:
  /// `vectors` [M, D]. `documents` [M] int64, if given: vectors of one document are never rivals. `left_out` [M] bool,
  /// if given: vectors that are nobody's rivals, such as those that are held out. Throws ShapeError if the sizes do not
  /// fit, OptionError for an option out of range.
  explicit StoredSoftmax(torch::Tensor vectors, const StoredSoftmaxOptions& options = {}, torch::Tensor documents = {},
                         torch::Tensor left_out = {});

  /// `questions` [N, D] have the stored vectors `right` [N] int64. Throws ShapeError if the sizes do not fit,
  /// OptionError for a vector that is not there.
  Loss operator()(const torch::Tensor& questions, const torch::Tensor& right) const;

  std::int64_t size() const { return vectors_.size(0); }

 private:
  torch::Tensor scored(const torch::Tensor& vectors) const;

  StoredSoftmaxOptions options_;
  torch::Tensor vectors_;  // of length 1 under cosine
  torch::Tensor documents_, left_out_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/ranking_loss-inl.hpp"
#endif
