#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/training/callback.hpp"

namespace graft {

/// Writes a run to a file as JSON lines, each complete once its event is over:
///   {"event": "begin", "rows", "epochs", "steps", "steps_done", "trained_values"}
///   {"event": "step", "step", "epoch", "loss", "lr", "gradient_norm", "rows", "tokens", "tokens_per_second"}
///   {"event": "evaluation", "step", "epoch", "scores": {name: value}, "best", "seconds"}
///   {"event": "end", "reason", "steps", "loss", "tokens", "training_seconds", "seconds"}
/// A number that is not finite is written as null.
class JsonlLog : public TrainingCallback {
 public:
  /// Adds to the end of `path`, which is created if need be; a step is written if its number is a multiple of `every`.
  /// Throws FileError if the file cannot be opened, OptionError if `every` is below 1.
  explicit JsonlLog(const std::filesystem::path& path, std::int64_t every = 1);

  GRAFT_INLINE void on_begin(const RunPlan& plan) override;
  GRAFT_INLINE void on_step(const StepRecord& step) override;
  GRAFT_INLINE void on_evaluation(const EvaluationRecord& evaluation) override;
  GRAFT_INLINE void on_end(const TrainingResult& result) override;

 private:
  void write(const std::string& line);

  std::string path_;
  std::int64_t every_;
  std::ofstream out_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/log-inl.hpp"
#endif
