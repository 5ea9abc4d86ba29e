#pragma once

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "graft/core/console.hpp"
#include "graft/core/usage.hpp"
#include "graft/training/progress.hpp"

namespace graft {

GRAFT_INLINE ProgressBar::ProgressBar(std::string title, std::FILE* out, ProgressDetails details)
    : title_(title.empty() ? "" : std::move(title) + "  "),
      out_(out),
      details_(details),
      terminal_(isatty(fileno(out)) == 1) {}

GRAFT_INLINE void ProgressBar::on_begin(const RunPlan& plan) {
  plan_ = plan;
  loss_ = loss_weight_ = seconds_ = tokens_ = judged_ = 0.0;
  steps_ = 0;
  drawn_ = {};
}

GRAFT_INLINE void ProgressBar::on_step(const StepRecord& step) {
  loss_ = 0.95 * loss_ + 0.05 * step.loss;
  loss_weight_ = 0.95 * loss_weight_ + 0.05;
  seconds_ += step.seconds;
  tokens_ += static_cast<double>(step.tokens);
  judged_ += step.judged;
  ++steps_;
  const std::int64_t steps = std::max<std::int64_t>(1, plan_.steps);
  const bool last = step.step == plan_.steps;
  if (terminal_) {
    const auto now = Clock::now();
    if (!last && now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    print(line(step), false);
  } else if (last || step.step * 10 / steps != (step.step - 1) * 10 / steps) {
    print(line(step), true);
  }
}

GRAFT_INLINE std::string ProgressBar::line(const StepRecord& step) const {
  constexpr int width = 20;
  const int filled = static_cast<int>(step.step * width / std::max<std::int64_t>(1, plan_.steps));
  const double left = seconds_ / static_cast<double>(steps_) * static_cast<double>(plan_.steps - step.step);
  const auto per_second = [&](double count) { return seconds_ > 0.0 ? count / seconds_ : 0.0; };
  char text[256], learned[64] = "", memory[64] = "";
  if (details_.learned) std::snprintf(learned, sizeof(learned), " (%.0f learned)", per_second(judged_));
  if (details_.memory)
    std::snprintf(memory, sizeof(memory), "  %.2f GB", static_cast<double>(peak_memory_bytes()) / 1e9);
  std::snprintf(text, sizeof(text), "epoch %lld/%lld [%s%s] %3lld %%  loss %.4f  %.0f tokens/s%s%s  %s left",
                static_cast<long long>(step.epoch), static_cast<long long>(plan_.epochs),
                std::string(static_cast<std::size_t>(filled), '=').c_str(),
                std::string(static_cast<std::size_t>(width - filled), ' ').c_str(),
                static_cast<long long>(step.step * 100 / std::max<std::int64_t>(1, plan_.steps)), loss_ / loss_weight_,
                per_second(tokens_), learned, memory, clock_text(left).c_str());
  return title_ + text;
}

GRAFT_INLINE void ProgressBar::on_evaluation(const EvaluationRecord& evaluation) {
  std::string text = title_ + "step " + std::to_string(evaluation.step) + ":";
  for (const auto& [name, value] : evaluation.scores) {
    char score[64];
    std::snprintf(score, sizeof(score), " %.4f", value);
    text += "  " + name + score;
  }
  print(text + (evaluation.best ? "  (best)" : ""), true);
}

GRAFT_INLINE void ProgressBar::on_end(const TrainingResult& result) {
  constexpr const char* reasons[] = {"finished", "stopped early", "interrupted"};
  char text[160];
  std::snprintf(text, sizeof(text), "%s after %lld steps, %s", reasons[static_cast<int>(result.reason)],
                static_cast<long long>(result.steps), clock_text(result.seconds).c_str());
  print(title_ + text, true);
}

GRAFT_INLINE void ProgressBar::print(const std::string& text, bool stays) {
  if (terminal_) {
    // Back to the start of the line, the text cut to what fits, and what was there before erased.
    const std::string cut = stays ? text : text.substr(0, terminal_columns(out_) - 1);
    std::fprintf(out_, "\r%s\x1b[K%s", cut.c_str(), stays ? "\n" : "");
  } else {
    std::fprintf(out_, "%s\n", text.c_str());
  }
  std::fflush(out_);
}

}  // namespace graft
