#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "graft/core/mode.hpp"
#include "graft/training/callback.hpp"

namespace graft {

/// What a ProgressBar shows beside what all runs have.
struct ProgressDetails {
  bool learned = false;  ///< how many of the tokens per second the loss counts
  bool memory = false;   ///< peak_memory_bytes()
};

/// Shows how far a run is: epoch, bar, loss (smoothed), tokens per second, time left, and each evaluation.
///
/// In a terminal it redraws one line, at most ten times a second. Elsewhere (a file, a pipe) it prints a plain line for
/// every tenth of the run, without escape codes. The library prints nothing unless this callback is installed.
class ProgressBar : public TrainingCallback {
 public:
  /// `out` must stay open. `title` comes first in every line.
  explicit ProgressBar(std::string title = "", std::FILE* out = stderr, ProgressDetails details = {});

  GRAFT_INLINE void on_begin(const RunPlan& plan) override;
  GRAFT_INLINE void on_step(const StepRecord& step) override;
  GRAFT_INLINE void on_evaluation(const EvaluationRecord& evaluation) override;
  GRAFT_INLINE void on_end(const TrainingResult& result) override;

 private:
  using Clock = std::chrono::steady_clock;

  std::string line(const StepRecord& step) const;
  void print(const std::string& text, bool stays);

  std::string title_;
  std::FILE* out_;
  ProgressDetails details_;
  bool terminal_;
  RunPlan plan_;
  double loss_ = 0.0, loss_weight_ = 0.0;               // a mean in which each step weighs 0.95 of the next
  double seconds_ = 0.0, tokens_ = 0.0, judged_ = 0.0;  // spent, read and counted in steps
  std::int64_t steps_ = 0;
  Clock::time_point drawn_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/progress-inl.hpp"
#endif
