#pragma once

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/training/loss.hpp"

namespace graft {

// Losses of rerankers, which give question and passage one number. Where passages belong to questions, P of them lie
// end to end, and those of list l are offsets[l] ... offsets[l + 1] - 1; offsets [L + 1] are int64, on the CPU.

struct PointwiseOptions {
  double positive_weight = 1.0;  ///< of what is right, above 0: with n wrong passages for a right one, n balances them
};

/// Binary cross-entropy of logits [N] against targets [N] in [0, 1], counted in elements:
///   sum over i of -(w t_i log s(x_i) + (1 - t_i) log(1 - s(x_i))),   s the sigmoid, w = positive_weight
/// Throws ShapeError unless both are [N], OptionError for a weight that is not above 0 and finite.
Loss pointwise_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets,
                             const PointwiseOptions& options = {});

struct ListwiseOptions {
  /// Grades are multiplied by it before their softmax: at 1 the target of grades 1, 0, 0 is 0.58, 0.21, 0.21, at 10 it
  /// is all but 1, 0, 0.
  double grade_scale = 1.0;
};

/// Cross-entropy of each list's softmax of logits [P] against that of its grades [P], counted in lists:
///   sum over l and i of -softmax(grade_scale g_l)_i log softmax(x_l)_i
/// Throws ShapeError if the sizes do not fit or a list is empty, OptionError for a scale that is not above 0 and
/// finite. Source: Cao et al., Learning to rank: from pairwise approach to listwise approach, ICML 2007 (ListNet, top
/// one).
Loss listwise_cross_entropy(const torch::Tensor& logits, const torch::Tensor& grades, const torch::Tensor& offsets,
                            const ListwiseOptions& options = {});

/// Squared error of the margins by which the first passage of each list stands above each of the others, in scores [P]
/// and in a teacher's [P], counted in margins. Throws ShapeError as listwise_cross_entropy() does; a list of one has no
/// margin. Source: Hofstaetter et al., arXiv:2010.02666 (Margin-MSE).
Loss listwise_margin_error(const torch::Tensor& scores, const torch::Tensor& teacher, const torch::Tensor& offsets);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/rerank_loss-inl.hpp"
#endif
