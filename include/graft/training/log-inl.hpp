#pragma once

#include <cerrno>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/training/log.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::string log_line(const nlohmann::ordered_json& fields) {
  return fields.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace detail

GRAFT_INLINE JsonlLog::JsonlLog(const std::filesystem::path& path, std::int64_t every)
    : path_(path.string()), every_(every), out_(path, std::ios::app) {
  if (every < 1) throw OptionError(message("a log of every ", every, " steps; it must be at least 1"));
  if (!out_) detail::throw_system_error("open the log", path_);
}

GRAFT_INLINE void JsonlLog::write(const std::string& line) {
  errno = 0;
  out_ << line << std::endl;
  if (!out_) detail::throw_system_error("write to the log", path_, errno != 0 ? errno : EIO);
}

GRAFT_INLINE void JsonlLog::on_begin(const RunPlan& plan) {
  write(detail::log_line({{"event", "begin"},
                          {"rows", plan.rows},
                          {"epochs", plan.epochs},
                          {"steps", plan.steps},
                          {"steps_done", plan.steps_done},
                          {"trained_values", plan.trained_values}}));
}

GRAFT_INLINE void JsonlLog::on_step(const StepRecord& step) {
  if (step.step % every_ != 0) return;
  write(detail::log_line({{"event", "step"},
                          {"step", step.step},
                          {"epoch", step.epoch},
                          {"loss", step.loss},
                          {"lr", step.lr},
                          {"gradient_norm", step.gradient_norm},
                          {"rows", step.rows},
                          {"tokens", step.tokens},
                          {"tokens_per_second", step.tokens_per_second()}}));
}

GRAFT_INLINE void JsonlLog::on_evaluation(const EvaluationRecord& evaluation) {
  write(detail::log_line({{"event", "evaluation"},
                          {"step", evaluation.step},
                          {"epoch", evaluation.epoch},
                          {"scores", evaluation.scores},
                          {"best", evaluation.best},
                          {"seconds", evaluation.seconds}}));
}

GRAFT_INLINE void JsonlLog::on_end(const TrainingResult& result) {
  constexpr const char* reasons[] = {"finished", "stopped early", "interrupted"};
  write(detail::log_line({{"event", "end"},
                          {"reason", reasons[static_cast<int>(result.reason)]},
                          {"steps", result.steps},
                          {"loss", result.loss},
                          {"tokens", result.tokens},
                          {"training_seconds", result.training_seconds},
                          {"seconds", result.seconds}}));
}

}  // namespace graft
