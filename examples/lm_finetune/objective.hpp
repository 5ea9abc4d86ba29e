#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
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

  /// Seconds that forward and backward passes over the data take, by how long the first batch does. Leaves no gradient.
  template <class Data>
  double seconds_of_pass(const Data& data) {
    std::vector<std::int64_t> rows{0};
    loss(data.batch(rows)).sum.backward();  // what is made once is made here
    std::int64_t all = 0;
    for (std::int64_t row = 0; row < data.size(); ++row) all += data.length(row);
    std::int64_t measured = data.length(0);
    for (std::int64_t row = 1; row < std::min(data.size(), options_.batch_size); ++row) {
      rows.push_back(row);
      measured += data.length(row);
    }
    const auto start = std::chrono::steady_clock::now();
    loss(data.batch(rows)).sum.backward();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    model_->zero_grad();
    return seconds.count() * static_cast<double>(all) / static_cast<double>(measured);
  }

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
