#pragma once

#include <functional>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/mode.hpp"
#include "graft/training/loss.hpp"

// Losses of preferences: of two answers to one prompt, one is better. Their batch is 2 P sequences, the better answers
// of P prompts and then the worse ones, each behind its prompt, whose tokens have no label:
//
//     const auto scores = [&] {
//       const auto [values, offsets] = model->log_probabilities(batch.tokens, batch.labels);
//       return sequence_log_probabilities(values, offsets);
//     };
//     const PreferenceLoss preference = dpo_loss(scores(), reference_log_probabilities(*model, scores));
//     return preference.loss;

namespace graft {

/// How likely a model holds whole answers.
struct SequenceLogProbabilities {
  torch::Tensor sums;    ///< [N]: natural logarithms, summed over the answer's tokens
  torch::Tensor counts;  ///< [N] of the same type: its tokens
};

/// Sums of log-probabilities [M] over sequences that end at offsets [N + 1] (int64, on the CPU; M last). Throws
/// ShapeError where these do not fit.
SequenceLogProbabilities sequence_log_probabilities(const torch::Tensor& values, const torch::Tensor& offsets);

/// What `compute` returns with adapters `active` of `module` in force for all its layers (none: the base), in
/// evaluation mode and without gradients: the reference of a preference loss, without a second model. Adapters and
/// modes are afterwards as they were. Throws OptionError for an unknown adapter, and StateError if the reference would
/// be trained itself: some parameter that requires a gradient belongs to no adapter, or to one of `active`.
SequenceLogProbabilities reference_log_probabilities(torch::nn::Module& module,
                                                     const std::function<SequenceLogProbabilities()>& compute,
                                                     const std::vector<ActiveAdapter>& active = {});

/// A loss of P pairs, and how policy and reference differ in them. The rewards are beta times (log-probability of the
/// policy less that of the reference), without gradients.
struct PreferenceLoss {
  Loss loss;                       ///< counted in pairs
  torch::Tensor chosen_rewards;    ///< [P]
  torch::Tensor rejected_rewards;  ///< [P]

  double accuracy() const;  ///< share of the pairs whose chosen answer has the higher reward
  double margin() const;    ///< mean of chosen less rejected reward
};

struct DpoOptions {
  double beta = 0.1;             ///< > 0: how dearly leaving the reference is paid
  double label_smoothing = 0.0;  ///< in [0, 0.5): chance that a pair has its answers the wrong way round
};

// Those below take what the policy and the reference say of the same batch; the reference gets no gradient. They throw
// ShapeError unless both are of an even number of sequences, the same, and each has an answer; OptionError for a value
// out of range.

/// Direct preference optimisation:  -(1 - e) log s(beta d) - e log s(-beta d), s the logistic function and d how much
/// further the policy prefers the chosen answer than the reference does, in log-probability of the whole answers.
/// Source: Rafailov et al., Direct Preference Optimization, arXiv:2305.18290, equation 7; e: Chowdhury et al., Provably
/// Robust DPO, arXiv:2403.00409, section 3 (conservative DPO).
PreferenceLoss dpo_loss(const SequenceLogProbabilities& policy, const SequenceLogProbabilities& reference,
                        const DpoOptions& options = {});

/// The same with d in mean log-probability of a token, so that long answers weigh no more; a fitting beta is larger.
/// TRL calls it "sigmoid_norm". Source: Lambert et al., Tulu 3, arXiv:2411.15124, section 5.
PreferenceLoss length_normalised_dpo_loss(const SequenceLogProbabilities& policy,
                                          const SequenceLogProbabilities& reference, const DpoOptions& options = {});

/// Identity preference optimisation:  (d - 1 / (2 beta))^2, d in mean log-probability of a token, as its authors and
/// TRL have it. Source: Azar et al., A General Theoretical Paradigm to Understand Learning from Human Preferences,
/// arXiv:2310.12036, equation 17.
PreferenceLoss ipo_loss(const SequenceLogProbabilities& policy, const SequenceLogProbabilities& reference,
                        double beta = 0.1);

/// Cross-entropy of the chosen answers, counted in tokens: what supervised fine-tuning learns from the batch. Throws
/// ShapeError unless the sequences are an even number.
Loss chosen_loss(const SequenceLogProbabilities& policy);

/// mean(loss) + weight mean(other), counted as `loss` is: mixed(preference.loss, chosen_loss(policy), 1.0) keeps the
/// chosen answers likely. The mean of `other` is that of this batch, with several batches in a step too. Throws
/// OptionError unless `weight` is finite and >= 0.
Loss mixed(const Loss& loss, const Loss& other, double weight);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/preference_loss-inl.hpp"
#endif
