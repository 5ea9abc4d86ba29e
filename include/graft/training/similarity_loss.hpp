#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/ranking_loss.hpp"

namespace graft {

// Losses on pairs and triplets of vectors [N, D], row by row. All throw ShapeError if the sizes do not fit. Each is
// equal to the class of sentence-transformers that it names.

/// Pairs of which is known how alike they are, `wanted` [N]: of any two pairs that differ in it, the cosine of the one
/// that is more alike shall be the larger. Counted as one, for it is no mean. CoSENTLoss.
/// Source: Su, CoSENT, 2022. Throws OptionError unless `scale` > 0.
Loss cosent_loss(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& wanted, double scale = 20.0);

/// Squared error of the cosines against `wanted` [N]. CosineSimilarityLoss.
Loss cosine_loss(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& wanted);

/// max(0, |question - right| - |question - wrong| + margin), Euclidean. TripletLoss.
/// Source: Schroff et al., FaceNet, arXiv:1503.03832. Throws OptionError unless `margin` >= 0.
Loss triplet_loss(const torch::Tensor& questions, const torch::Tensor& right, const torch::Tensor& wrong,
                  double margin = 5.0);

/// Squared error of the margins, question . right - question . wrong, against those of a teacher, such as a
/// cross-encoder: `margins` [N]. MarginMSELoss.
/// Source: Hofstätter et al., arXiv:2010.02666.
Loss margin_mse_loss(const torch::Tensor& questions, const torch::Tensor& right, const torch::Tensor& wrong,
                     const torch::Tensor& margins);

/// A width of which the first numbers of a vector shall be of use alone.
struct MatryoshkaWidth {
  std::int64_t width = 0;
  double weight = 1.0;
};

/// A loss on vectors cut to each width and brought to length 1, weighed and summed: `loss_of` is called once a width
/// with the cut `vectors` [N, width], in their order. All losses must count the same. MatryoshkaLoss.
/// Source: Kusupati et al., Matryoshka Representation Learning, arXiv:2205.13147. Throws OptionError without widths, or
/// for one that is not in 1 ... D.
Loss matryoshka_loss(std::span<const torch::Tensor> vectors, std::span<const MatryoshkaWidth> widths,
                     const std::function<Loss(std::span<const torch::Tensor> cut)>& loss_of);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/similarity_loss-inl.hpp"
#endif
