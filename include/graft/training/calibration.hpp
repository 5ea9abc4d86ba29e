#pragma once

#include <cstdint>
#include <span>

#include "graft/core/mode.hpp"

namespace graft {

/// A straight line under a logistic function: the chance of a logit x is 1 / (1 + exp(-(slope x + intercept))).
struct LogisticScale {
  double slope = 1, intercept = 0;
  double loss_before = 0;  ///< mean of -log of the chance given to what was the case, by the logits as they are
  double loss = 0;         ///< and by the line
};

/// The line that makes `logits` chances of `right` (0 or 1), one for each: Platt scaling. What is certain in the data
/// stays a little uncertain: its targets are (N1 + 1) / (N1 + 2) and 1 / (N0 + 2), N1 right and N0 wrong.
/// Throws OptionError if the sizes differ, a logit is not finite, or none is right or none wrong.
/// Source: Platt, 1999; Lin, Lin and Weng, A note on Platt's probabilistic outputs, Machine Learning 68, 2007.
LogisticScale fit_logistic_scale(std::span<const double> logits, std::span<const std::uint8_t> right);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/calibration-inl.hpp"
#endif
