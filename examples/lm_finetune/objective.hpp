#pragma once

#include <vector>

#include "graft/adapters/adaptable.hpp"
#include "graft/generation/learned_tokens.hpp"
#include "graft/generation/preference_examples.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/training/callback.hpp"
#include "graft/training/preference_loss.hpp"
#include "options.hpp"

/// Of the adapter that preferences are measured from, where it is not the base.
inline constexpr const char* reference_name = "reference";

/// Loss and scores of what the rows ask for: their answers or texts, or their preferences.
class Objective {
 public:
  /// Both must outlive it.
  Objective(const TrainOptions& options, graft::CausalLM& model);

  graft::Loss loss(const graft::LearnedTokens::Batch& batch);
  graft::Loss loss(const graft::PreferenceExamples::Batch& batch);

  graft::Scores judge(const graft::LearnedTokens& data);
  graft::Scores judge(const graft::PreferenceExamples& data);

 private:
  graft::SequenceLogProbabilities scores(const graft::PreferenceExamples::Batch& batch);
  graft::PreferenceLoss preference(const graft::SequenceLogProbabilities& policy,
                                   const graft::PreferenceExamples::Batch& batch);

  const TrainOptions& options_;
  graft::CausalLM& model_;
  std::vector<graft::ActiveAdapter> reference_;  // none: the base
};
