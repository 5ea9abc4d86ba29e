#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>

namespace graft {

/// The length of a run, in optimizer steps.
struct ScheduleSpan {
  std::int64_t warmup = 0;  ///< steps in which the learning rate rises from 0 to its full value, >= 0
  std::int64_t total = 0;   ///< steps of the whole run, warm-up included
};

/// What the learning rate of step `step` (the first is 0) is multiplied by. Any callable of this form is a schedule.
/// Those below give transformers' numbers: with a warm-up the first step has a multiplier of 0.
using Schedule = std::function<double(std::int64_t step, const ScheduleSpan& span)>;

/// step / warmup, below 1 during the warm-up and at least 1 after it.
inline double warmup_multiplier(std::int64_t step, const ScheduleSpan& span) {
  return span.warmup > 0 ? static_cast<double>(step) / static_cast<double>(span.warmup) : 1.0;
}

/// Share of the run after the warm-up that is over at `step`, in [0, 1].
inline double decay_progress(std::int64_t step, const ScheduleSpan& span) {
  const auto length = static_cast<double>(std::max<std::int64_t>(1, span.total - span.warmup));
  return std::clamp(static_cast<double>(step - span.warmup) / length, 0.0, 1.0);
}

/// Warm-up, then the full rate to the end.
struct ConstantRate {
  double operator()(std::int64_t step, const ScheduleSpan& span) const {
    return std::min(1.0, warmup_multiplier(step, span));
  }
};

/// Warm-up, then a straight line down to `floor` at the end of the run.
struct LinearDecay {
  double floor = 0.0;  ///< the last multiplier, in [0, 1]

  double operator()(std::int64_t step, const ScheduleSpan& span) const {
    if (step < span.warmup) return warmup_multiplier(step, span);
    return floor + (1.0 - floor) * (1.0 - decay_progress(step, span));
  }
};

/// Warm-up, then half a cosine wave down to `floor` at the end of the run.
/// Source: Loshchilov and Hutter, SGDR, arXiv:1608.03983, equation 5, without restarts.
struct CosineDecay {
  double floor = 0.0;  ///< the last multiplier, in [0, 1]

  double operator()(std::int64_t step, const ScheduleSpan& span) const {
    if (step < span.warmup) return warmup_multiplier(step, span);
    return floor + (1.0 - floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * decay_progress(step, span)));
  }
};

}  // namespace graft
