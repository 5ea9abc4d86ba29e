#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "graft/generation/sampling.hpp"

namespace graft {
namespace detail {

inline constexpr float never = -std::numeric_limits<float>::infinity();

/// Probabilities of logits, of which one at least is finite; in double, so that sums over a vocabulary hold.
GRAFT_INLINE std::vector<double> softmax(std::span<const float> logits) {
  const float most = *std::ranges::max_element(logits);
  std::vector<double> shares(logits.size());
  std::ranges::transform(logits, shares.begin(), [&](float x) { return std::exp(static_cast<double>(x) - most); });
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share /= sum;
  return shares;
}

GRAFT_INLINE void check_logits(std::span<const float> logits) {
  bool any = false;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity())
      throw OptionError(message("logit of token ", i, " is ", logits[i], "; the model's weights or input are broken"));
    any = any || logits[i] > never;
  }
  if (!any) throw OptionError(message("none of ", logits.size(), " tokens may be chosen; their logits are not finite"));
}

}  // namespace detail

GRAFT_INLINE void SamplingOptions::check() const {
  std::string faults;
  const auto fault = [&](bool is_one, const auto&... text) {
    if (is_one) faults += (faults.empty() ? "" : "; ") + message(text...);
  };
  fault(!(temperature >= 0.0 && std::isfinite(temperature)), "temperature is ", temperature,
        ", choose a finite number of 0 or more");
  fault(top_k < 0, "top_k is ", top_k, ", choose 0 for all, or more");
  fault(!(top_p > 0.0 && top_p <= 1.0), "top_p is ", top_p, ", choose above 0 to 1");
  fault(!(min_p >= 0.0 && min_p <= 1.0), "min_p is ", min_p, ", choose 0 to 1");
  fault(!(repetition_penalty > 0.0 && std::isfinite(repetition_penalty)), "repetition_penalty is ", repetition_penalty,
        ", choose a finite number above 0");
  if (!faults.empty()) throw OptionError(faults);
}

GRAFT_INLINE void penalise_repetition(std::span<float> logits, std::span<const std::int32_t> text, double penalty) {
  if (penalty == 1.0) return;
  std::vector<std::int32_t> ids(text.begin(), text.end());
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());  // the one of ranges is too new for clang 14
  if (!ids.empty() && (ids.front() < 0 || static_cast<std::size_t>(ids.back()) >= logits.size()))
    throw OptionError(message("the text has token ", ids.front() < 0 ? ids.front() : ids.back(), " of a vocabulary of ",
                              logits.size()));
  const auto by = static_cast<float>(penalty);
  for (const std::int32_t id : ids) {
    float& logit = logits[static_cast<std::size_t>(id)];
    logit = logit < 0.0F ? logit * by : logit / by;
  }
}

GRAFT_INLINE void keep_top_k(std::span<float> logits, std::int64_t k) {
  if (k <= 0 || static_cast<std::size_t>(k) >= logits.size()) return;
  std::vector<float> sorted(logits.begin(), logits.end());
  const auto least = sorted.begin() + (k - 1);
  std::nth_element(sorted.begin(), least, sorted.end(), std::greater<>());
  for (float& logit : logits)
    if (logit < *least) logit = detail::never;
}

GRAFT_INLINE void keep_top_p(std::span<float> logits, double share) {
  if (share >= 1.0 || logits.empty()) return;
  const std::vector<double> shares = detail::softmax(logits);
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Few tokens hold nearly all of it, so a heap finds them sooner than sorting a vocabulary would.
  const auto less = [&](std::size_t a, std::size_t b) {
    return shares[a] != shares[b] ? shares[a] < shares[b] : a > b;
  };
  std::ranges::make_heap(order, less);
  std::vector<bool> kept(logits.size());
  double sum = 0.0;
  for (auto end = order.end(); end != order.begin() && sum < share; --end) {
    std::pop_heap(order.begin(), end, less);
    const std::size_t token = *(end - 1);
    kept[token] = true;
    sum += shares[token];
  }
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!kept[i]) logits[i] = detail::never;
}

GRAFT_INLINE void keep_min_p(std::span<float> logits, double share) {
  if (share <= 0.0 || logits.empty()) return;
  const double most = *std::ranges::max_element(logits);
  for (float& logit : logits)
    if (std::exp(static_cast<double>(logit) - most) < share) logit = detail::never;
}

GRAFT_INLINE std::int32_t likeliest(std::span<const float> logits) {
  detail::check_logits(logits);
  return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
}

GRAFT_INLINE TokenSampler::TokenSampler(const SamplingOptions& options, std::uint64_t stream) : options_(options) {
  options_.check();
  std::seed_seq seeds{static_cast<std::uint32_t>(options.seed), static_cast<std::uint32_t>(options.seed >> 32),
                      static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)};
  generator_.seed(seeds);
}

GRAFT_INLINE std::vector<double> chances(std::span<float> logits, std::span<const std::int32_t> text,
                                         const SamplingOptions& options) {
  detail::check_logits(logits);
  penalise_repetition(logits, text, options.repetition_penalty);
  // Taken from the largest first, which changes no chance: a small temperature would else overflow.
  const float most = *std::ranges::max_element(logits);
  for (float& logit : logits) logit = static_cast<float>((static_cast<double>(logit) - most) / options.temperature);
  keep_top_k(logits, options.top_k);
  keep_top_p(logits, options.top_p);
  keep_min_p(logits, options.min_p);
  return detail::softmax(logits);
}

GRAFT_INLINE std::int32_t TokenSampler::choose(std::span<float> logits, std::span<const std::int32_t> text) {
  if (options_.temperature == 0.0) {
    penalise_repetition(logits, text, options_.repetition_penalty);
    return likeliest(logits);
  }
  const std::vector<double> shares = chances(logits, text, options_);
  // 53 bits, as a double holds: the standard's distributions differ from library to library.
  double left = static_cast<double>(generator_() >> 11) * 0x1p-53;
  std::size_t last = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] <= 0.0) continue;
    last = i;
    left -= shares[i];
    if (left < 0.0) break;
  }
  return static_cast<std::int32_t>(last);
}

}  // namespace graft
