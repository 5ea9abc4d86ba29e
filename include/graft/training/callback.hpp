#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace graft {

/// Named results of an evaluation, such as {"accuracy", 0.86}.
using Scores = std::map<std::string, double>;

/// What a run is going to be.
struct RunPlan {
  std::int64_t rows = 0;            ///< in the training data
  std::int64_t epochs = 0;          ///< begun, if every step is made
  std::int64_t steps = 0;           ///< of the whole run
  std::int64_t steps_done = 0;      ///< above 0 if a checkpoint is continued
  std::int64_t trained_values = 0;  ///< elements of all trained parameters
};

/// One finished optimizer step.
struct StepRecord {
  std::int64_t step = 0;       ///< from 1
  std::int64_t epoch = 0;      ///< from 1
  double loss = 0.0;           ///< mean over all rows or tokens of the step
  double lr = 0.0;             ///< of the first parameter group, after the schedule
  double gradient_norm = 0.0;  ///< before clipping
  std::int64_t rows = 0;
  std::int64_t tokens = 0;
  double judged = 0.0;  ///< what the loss counts: rows, tokens that are learned, weights
  double seconds = 0.0;

  double tokens_per_second() const { return seconds > 0.0 ? static_cast<double>(tokens) / seconds : 0.0; }
};

/// One finished evaluation.
struct EvaluationRecord {
  std::int64_t step = 0;   ///< steps finished before it
  std::int64_t epoch = 0;  ///< from 1
  Scores scores = {};
  bool best = false;  ///< better than every one before
  double seconds = 0.0;
};

enum class StopReason {
  finished,       ///< every step was made
  stopped_early,  ///< evaluations stopped getting better
  interrupted     ///< the caller asked for it
};

/// What a run has been.
struct TrainingResult {
  StopReason reason = StopReason::finished;
  std::int64_t steps = 0;  ///< finished, those before a checkpoint included
  double loss = 0.0;       ///< mean over the last epoch's steps that this run made
  std::int64_t tokens = 0;
  double training_seconds = 0.0;  ///< in steps: without evaluations and checkpoints
  double seconds = 0.0;           ///< in all
  std::optional<EvaluationRecord> best = std::nullopt;
  std::optional<EvaluationRecord> last = std::nullopt;
};

/// Told what happens in a run: derive from it and override what is of interest. An exception ends the run.
class TrainingCallback {
 public:
  virtual ~TrainingCallback() = default;
  virtual void on_begin(const RunPlan&) {}
  virtual void on_step(const StepRecord&) {}
  virtual void on_evaluation(const EvaluationRecord&) {}
  virtual void on_end(const TrainingResult&) {}
};

}  // namespace graft
