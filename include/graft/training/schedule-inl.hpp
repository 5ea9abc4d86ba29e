#pragma once

#include "graft/training/schedule.hpp"

namespace graft {

GRAFT_INLINE double warmup_multiplier(std::int64_t step, const ScheduleSpan& span) {
  return span.warmup > 0 ? static_cast<double>(step) / static_cast<double>(span.warmup) : 1.0;
}

GRAFT_INLINE double decay_progress(std::int64_t step, const ScheduleSpan& span) {
  const auto length = static_cast<double>(std::max<std::int64_t>(1, span.total - span.warmup));
  return std::clamp(static_cast<double>(step - span.warmup) / length, 0.0, 1.0);
}

}  // namespace graft
