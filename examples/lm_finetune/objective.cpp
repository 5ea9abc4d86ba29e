#include "objective.hpp"

#include <algorithm>
#include <cmath>

namespace {

/// Calls use(batch) for rows in their order, without gradients.
template <class Data, class Use>
void each_batch(const Data& data, std::int64_t size, const Use& use) {
  const torch::NoGradGuard no_grad;
  for (std::int64_t begin = 0; begin < data.size(); begin += size) {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = begin; row < std::min(data.size(), begin + size); ++row) rows.push_back(row);
    use(data.batch(rows));
  }
}

}  // namespace

Objective::Objective(const TrainOptions& options, graft::CausalLM& model) : options_(options), model_(model) {
  if (!options.language.adapter.empty()) reference_ = {{reference_name, 1.0}};
}

graft::Loss Objective::loss(const graft::LearnedTokens::Batch& batch) {
  return graft::negative_log_likelihood(model_->log_probabilities(batch.tokens, batch.labels).values);
}

graft::Loss Objective::loss(const graft::PreferenceExamples::Batch& batch) {
  const graft::SequenceLogProbabilities policy = scores(batch);
  const graft::Loss preferred = preference(policy, batch).loss;
  return options_.sft_weight > 0 ? graft::mixed(preferred, graft::chosen_loss(policy), options_.sft_weight) : preferred;
}

graft::Scores Objective::judge(const graft::LearnedTokens& data) {
  double sum = 0, count = 0;
  each_batch(data, options_.batch_size, [&](const graft::LearnedTokens::Batch& batch) {
    const graft::Loss judged = loss(batch);
    sum += judged.sum.item<double>();
    count += static_cast<double>(judged.count);
  });
  return {{"loss", sum / count}, {"perplexity", std::exp(sum / count)}};
}

graft::Scores Objective::judge(const graft::PreferenceExamples& data) {
  double sum = 0, accuracy = 0, margin = 0, pairs = 0;
  each_batch(data, options_.batch_size, [&](const graft::PreferenceExamples::Batch& batch) {
    const graft::PreferenceLoss judged = preference(scores(batch), batch);
    const double count = static_cast<double>(judged.loss.count);
    sum += judged.loss.sum.item<double>();
    accuracy += judged.accuracy() * count;
    margin += judged.margin() * count;
    pairs += count;
  });
  return {{"loss", sum / pairs}, {"accuracy", accuracy / pairs}, {"margin", margin / pairs}};
}

graft::SequenceLogProbabilities Objective::scores(const graft::PreferenceExamples::Batch& batch) {
  const auto [values, offsets] = model_->log_probabilities(batch.tokens, batch.labels);
  return graft::sequence_log_probabilities(values, offsets);
}

graft::PreferenceLoss Objective::preference(const graft::SequenceLogProbabilities& policy,
                                            const graft::PreferenceExamples::Batch& batch) {
  const auto reference = graft::reference_log_probabilities(
      *model_, [&] { return scores(batch); }, reference_);
  const graft::DpoOptions dpo{.beta = options_.beta, .label_smoothing = options_.label_smoothing};
  switch (options_.preference) {
    case PreferenceKind::dpo_norm:
      return graft::length_normalised_dpo_loss(policy, reference, dpo);
    case PreferenceKind::ipo:
      return graft::ipo_loss(policy, reference, options_.beta);
    default:
      return graft::dpo_loss(policy, reference, dpo);
  }
}
