#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
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

  void on_begin(const RunPlan& plan) override;
  void on_step(const StepRecord& step) override;
  void on_evaluation(const EvaluationRecord& evaluation) override;
  void on_end(const TrainingResult& result) override;

 private:
  void write(const nlohmann::ordered_json& line);

  std::string path_;
  std::int64_t every_;
  std::ofstream out_;
};

inline JsonlLog::JsonlLog(const std::filesystem::path& path, std::int64_t every)
    : path_(path.string()), every_(every), out_(path, std::ios::app) {
  if (every < 1) throw OptionError(message("a log of every ", every, " steps; it must be at least 1"));
  if (!out_) throw FileError("cannot open the log " + quoted(path_));
}

inline void JsonlLog::write(const nlohmann::ordered_json& line) {
  out_ << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << std::endl;
  if (!out_) throw FileError("cannot write to the log " + quoted(path_));
}

inline void JsonlLog::on_begin(const RunPlan& plan) {
  write({{"event", "begin"},
         {"rows", plan.rows},
         {"epochs", plan.epochs},
         {"steps", plan.steps},
         {"steps_done", plan.steps_done},
         {"trained_values", plan.trained_values}});
}

inline void JsonlLog::on_step(const StepRecord& step) {
  if (step.step % every_ != 0) return;
  write({{"event", "step"},
         {"step", step.step},
         {"epoch", step.epoch},
         {"loss", step.loss},
         {"lr", step.lr},
         {"gradient_norm", step.gradient_norm},
         {"rows", step.rows},
         {"tokens", step.tokens},
         {"tokens_per_second", step.tokens_per_second()}});
}

inline void JsonlLog::on_evaluation(const EvaluationRecord& evaluation) {
  write({{"event", "evaluation"},
         {"step", evaluation.step},
         {"epoch", evaluation.epoch},
         {"scores", evaluation.scores},
         {"best", evaluation.best},
         {"seconds", evaluation.seconds}});
}

inline void JsonlLog::on_end(const TrainingResult& result) {
  constexpr const char* reasons[] = {"finished", "stopped early", "interrupted"};
  write({{"event", "end"},
         {"reason", reasons[static_cast<int>(result.reason)]},
         {"steps", result.steps},
         {"loss", result.loss},
         {"tokens", result.tokens},
         {"training_seconds", result.training_seconds},
         {"seconds", result.seconds}});
}

}  // namespace graft
