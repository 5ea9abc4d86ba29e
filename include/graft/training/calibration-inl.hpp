#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "graft/core/error.hpp"
#include "graft/training/calibration.hpp"

namespace graft {

namespace detail {

/// log(1 + exp(x)) without overflow.
inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// Cross-entropy of logistic(slope x + intercept) against targets, with its first and second derivatives.
struct LogisticFit {
  std::span<const double> logits;
  std::span<const std::uint8_t> right;
  double target_right, target_wrong;

  double target(std::size_t i) const { return right[i] ? target_right : target_wrong; }

  double loss(double slope, double intercept) const {
    double sum = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double x = slope * logits[i] + intercept;
      sum += softplus(x) - target(i) * x;
    }
    return sum;
  }

  /// Goes on by one Newton step, halved until the loss falls. False once there is nothing to gain.
  bool step(double& slope, double& intercept) const {
    double g1 = 0, g0 = 0;
    // A little on the diagonal, so that logits that are all alike have an inverse too.
    double h11 = 1e-12, h10 = 0, h00 = 1e-12;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double chance = 1 / (1 + std::exp(-(slope * logits[i] + intercept)));
      const double first = chance - target(i), second = chance * (1 - chance);
      g1 += first * logits[i], g0 += first;
      h11 += second * logits[i] * logits[i], h10 += second * logits[i], h00 += second;
    }
    if (std::abs(g1) < 1e-9 && std::abs(g0) < 1e-9) return false;
    const double determinant = h11 * h00 - h10 * h10;
    const double by_slope = -(h00 * g1 - h10 * g0) / determinant, by_intercept = -(h11 * g0 - h10 * g1) / determinant;
    if (!std::isfinite(by_slope) || !std::isfinite(by_intercept)) return false;
    const double before = loss(slope, intercept), fall = g1 * by_slope + g0 * by_intercept;
    for (double share = 1; share > 1e-10; share /= 2) {
      const double s = slope + share * by_slope, c = intercept + share * by_intercept;
      if (loss(s, c) >= before + 1e-4 * share * fall) continue;
      slope = s, intercept = c;
      return true;
    }
    return false;
  }
};

}  // namespace detail

GRAFT_INLINE LogisticScale fit_logistic_scale(std::span<const double> logits, std::span<const std::uint8_t> right) {
  if (logits.size() != right.size())
    throw OptionError(
        message("there are ", logits.size(), " logits, but of ", right.size(), " it is known what is right"));
  const auto ones = static_cast<double>(std::count_if(right.begin(), right.end(), [](auto r) { return r != 0; }));
  const double count = static_cast<double>(right.size()), zeros = count - ones;
  if (ones == 0 || zeros == 0)
    throw OptionError(
        message("of ", right.size(), " logits ", ones, " are of what is right; a scale needs both kinds"));
  for (const double x : logits)
    if (!std::isfinite(x)) throw OptionError(message("a logit is ", x, "; no chance can be made of it"));
  const detail::LogisticFit as_they_are{logits, right, 1, 0},
      fit{logits, right, (ones + 1) / (ones + 2), 1 / (zeros + 2)};
  LogisticScale out{.slope = 0, .intercept = std::log((ones + 1) / (zeros + 1))};
  constexpr int kSteps = 100;
  for (int i = 0; i < kSteps && fit.step(out.slope, out.intercept); ++i) continue;
  out.loss_before = as_they_are.loss(1, 0) / count;
  out.loss = as_they_are.loss(out.slope, out.intercept) / count;
  return out;
}

}  // namespace graft
