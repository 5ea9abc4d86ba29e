#pragma once

#include <cmath>
#include <set>
#include <string>
#include <utility>

#include <torch/nn/functional/activation.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/selection.hpp"
#include "graft/core/error.hpp"
#include "graft/training/detail/mode_scope.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/preference_loss.hpp"

namespace graft {
namespace detail {

/// The parameters that the reference shares with what is trained, by name.
GRAFT_INLINE std::vector<std::string> trained_reference(torch::nn::Module& module,
                                                        const std::vector<ActiveAdapter>& active) {
  const std::set<const c10::TensorImpl*> factors = factor_tensors(module);
  std::set<const c10::TensorImpl*> of_reference;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    for (const ActiveAdapter& one : carried(*layer, active)) {
      for (const torch::Tensor& tensor : layer->adapter(one.name)->parameters())
        of_reference.insert(tensor.unsafeGetTensorImpl());
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, tensor] : trained_parameters(module)) {
    const c10::TensorImpl* key = tensor.unsafeGetTensorImpl();
    if (factors.count(key) == 0 || of_reference.count(key) > 0) names.push_back(quoted(name));
  }
  return names;
}

/// How much the policy's log-probabilities are above the reference's: of the chosen answers and of the rejected [P].
struct PreferenceGains {
  torch::Tensor chosen, rejected;

  PreferenceGains(const SequenceLogProbabilities& policy, const SequenceLogProbabilities& reference) {
    const std::int64_t n = policy.sums.dim() == 1 ? policy.sums.size(0) : 1;
    if (n % 2 != 0 || policy.counts.sizes() != policy.sums.sizes() || reference.sums.sizes() != policy.sums.sizes() ||
        reference.counts.sizes() != policy.sums.sizes())
      throw ShapeError(message("a preference loss got log-probabilities ", policy.sums.sizes(), " of the policy and ",
                               reference.sums.sizes(),
                               " of the reference; both are of 2 P answers, the chosen ones first"));
    if (!policy.counts.equal(reference.counts.to(policy.counts.scalar_type())))
      throw ShapeError("policy and reference count other tokens in their answers; give both the same batch");
    if (policy.counts.lt(1).any().item<bool>())
      throw ShapeError("an answer of the batch has no token with a label; leave its pair out");
    const torch::Tensor gains = policy.sums - reference.sums.detach().to(policy.sums.scalar_type());
    chosen = gains.narrow(0, 0, n / 2);
    rejected = gains.narrow(0, n / 2, n / 2);
  }

  /// How much further the policy prefers the chosen answers, in all, and for a mean token.
  torch::Tensor difference() const { return chosen - rejected; }
  torch::Tensor difference_per_token(const torch::Tensor& counts) const {
    const std::int64_t pairs = chosen.size(0);
    return chosen / counts.narrow(0, 0, pairs) - rejected / counts.narrow(0, pairs, pairs);
  }

  PreferenceLoss loss(const torch::Tensor& of_pairs, double beta) const {
    return {{of_pairs.sum(), static_cast<double>(of_pairs.size(0))}, beta * chosen.detach(), beta * rejected.detach()};
  }
};

GRAFT_INLINE void check_beta(double beta) {
  if (!(beta > 0.0 && std::isfinite(beta)))
    throw OptionError(message("beta is ", beta, "; it must be finite and above 0"));
}

GRAFT_INLINE PreferenceLoss dpo_of(const PreferenceGains& gains, const torch::Tensor& difference,
                                   const DpoOptions& options) {
  check_beta(options.beta);
  const double wrong = options.label_smoothing;
  if (!(wrong >= 0.0 && wrong < 0.5)) throw OptionError(message("label_smoothing is ", wrong, "; choose 0 up to 0.5"));
  const torch::Tensor scaled = options.beta * difference;
  torch::Tensor losses = -(1.0 - wrong) * torch::log_sigmoid(scaled);
  if (wrong > 0.0) losses = losses - wrong * torch::log_sigmoid(-scaled);
  return gains.loss(losses, options.beta);
}

}  // namespace detail

GRAFT_INLINE SequenceLogProbabilities sequence_log_probabilities(const torch::Tensor& values,
                                                                 const torch::Tensor& offsets) {
  const bool fit = values.dim() == 1 && offsets.dim() == 1 && offsets.size(0) > 0 &&
                   offsets.scalar_type() == torch::kInt64 && offsets.is_cpu() &&
                   offsets[offsets.size(0) - 1].item<std::int64_t>() == values.size(0);
  const torch::Tensor counts = fit ? offsets.diff() : torch::Tensor();
  if (!fit || counts.lt(0).any().item<bool>())
    throw ShapeError(message("sequences end at offsets ", offsets.sizes(), " for log-probabilities ", values.sizes(),
                             "; they are [N + 1] of int64 on the CPU, ascend, and end with [M]"));
  const torch::Tensor row = torch::arange(counts.size(0), torch::kInt64).repeat_interleave(counts).to(values.device());
  return {torch::zeros({counts.size(0)}, values.options().requires_grad(false)).index_add(0, row, values),
          counts.to(values.device(), values.scalar_type())};
}

GRAFT_INLINE SequenceLogProbabilities
reference_log_probabilities(torch::nn::Module& module, const std::function<SequenceLogProbabilities()>& compute,
                            const std::vector<ActiveAdapter>& active) {
  const AdapterSelection selection(module, active);
  if (const auto names = detail::trained_reference(module, active); !names.empty())
    throw StateError(message("the reference of a preference loss is trained itself: ", names.front(),
                             names.size() > 1 ? message(" and ", names.size() - 1, " more") : "",
                             "; train an adapter that the reference lacks, or keep its log-probabilities from before"));
  const detail::ModeScope modes(module);
  const torch::NoGradGuard no_grad;
  const AdapterScope scope(selection);
  module.eval();
  return compute();
}

GRAFT_INLINE double PreferenceLoss::accuracy() const {
  return chosen_rewards.gt(rejected_rewards).to(torch::kDouble).mean().item<double>();
}

GRAFT_INLINE double PreferenceLoss::margin() const {
  return (chosen_rewards - rejected_rewards).to(torch::kDouble).mean().item<double>();
}

GRAFT_INLINE PreferenceLoss dpo_loss(const SequenceLogProbabilities& policy, const SequenceLogProbabilities& reference,
                                     const DpoOptions& options) {
  const detail::PreferenceGains gains(policy, reference);
  return detail::dpo_of(gains, gains.difference(), options);
}

GRAFT_INLINE PreferenceLoss length_normalised_dpo_loss(const SequenceLogProbabilities& policy,
                                                       const SequenceLogProbabilities& reference,
                                                       const DpoOptions& options) {
  const detail::PreferenceGains gains(policy, reference);
  return detail::dpo_of(gains, gains.difference_per_token(policy.counts), options);
}

GRAFT_INLINE PreferenceLoss ipo_loss(const SequenceLogProbabilities& policy, const SequenceLogProbabilities& reference,
                                     double beta) {
  detail::check_beta(beta);
  const detail::PreferenceGains gains(policy, reference);
  return gains.loss((gains.difference_per_token(policy.counts) - 1.0 / (2.0 * beta)).square(), beta);
}

GRAFT_INLINE Loss chosen_loss(const SequenceLogProbabilities& policy) {
  const std::int64_t n = policy.sums.dim() == 1 ? policy.sums.size(0) : 1;
  if (n % 2 != 0 || policy.counts.sizes() != policy.sums.sizes())
    throw ShapeError(message("log-probabilities ", policy.sums.sizes(), " are not of pairs of answers"));
  return {-policy.sums.narrow(0, 0, n / 2).sum(), policy.counts.narrow(0, 0, n / 2).sum()};
}

GRAFT_INLINE Loss mixed(const Loss& loss, const Loss& other, double weight) {
  if (!(weight >= 0.0 && std::isfinite(weight)))
    throw OptionError(message("the weight of the other loss is ", weight, "; it must be finite and at least 0"));
  if (weight == 0.0) return loss;
  const torch::Tensor counted = loss.count.on(loss.sum.device()).to(loss.sum.scalar_type());
  return {loss.sum + weight * counted * other.mean(), loss.count};
}

}  // namespace graft
