#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "graft/training/callback.hpp"

namespace graft {

/// Where a run stands: with the tensors and the seed, all that a checkpoint has to say of it.
struct RunPosition {
  std::int64_t step = 0;        ///< finished
  std::int64_t epoch = 0;       ///< finished
  std::int64_t batch = 0;       ///< finished of the epoch it is in
  std::int64_t steps = 0;       ///< of the whole run; 0 before it has begun
  std::string data = {};        ///< hash of the rows' lengths and the first epoch's batches; empty likewise
  std::int64_t not_better = 0;  ///< evaluations since the best
  std::optional<EvaluationRecord> best = std::nullopt, last = std::nullopt;
};

}  // namespace graft
