#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <utility>

#include <torch/utils.h>

#include "graft/core/error.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/training/checkpoint.hpp"
#include "graft/training/detail/mode_scope.hpp"
#include "graft/training/detail/named_tensors.hpp"
#include "graft/training/guards.hpp"
#include "graft/training/trainer.hpp"

namespace graft {

namespace detail {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace detail

/// How a step is made: its two halves.
struct Trainer::StepWay {
  /// Makes the gradients of batches of rows.
  std::function<StepGradients(std::span<const std::vector<std::int64_t>> batches)> gradients;

  /// Makes the update that those gradients ask for.
  std::function<void(double lr_multiplier, const StepGradients& made)> update;
};

/// One call of train(): from where the trainer stands to where the run ends or is stopped.
class Trainer::Run {
 public:
  Run(Trainer& trainer, std::span<const std::int64_t> lengths, const StepWay& way,
      const std::function<Scores()>& evaluate)
      : trainer_(trainer),
        options_(trainer.options_),
        at_(trainer.position_),
        lengths_(lengths),
        way_(way),
        evaluate_(evaluate) {}

  TrainingResult go() {
    const detail::Stopwatch watch;
    const RunPlan planned = plan();
    take_up(planned.steps, data_hash());
    span_ = {.warmup = warmup_steps(), .total = at_.steps};
    const detail::ModeScope modes(trainer_.module_);
    if (options_.guards.frozen) frozen_.emplace(trainer_.module_);
    if (options_.guards.learning) learning_.emplace(*trainer_.optimizer_);
    trainer_.module_.train();
    for (const auto& callback : trainer_.callbacks_) callback->on_begin(planned);
    while (at_.step < at_.steps && !is_stopped()) train_epoch();
    finish();
    result_.seconds = watch.seconds();
    for (const auto& callback : trainer_.callbacks_) callback->on_end(result_);
    return result_;
  }

 private:
  /// The batches of an epoch. The sampler is asked once for each; the answer is kept until the epoch is over.
  const Batches& batches_of(std::int64_t epoch) {
    if (const auto known = batches_.find(epoch); known != batches_.end()) return known->second;
    auto batches =
        options_.sampler(lengths_, options_.batch, derived_seed(options_.seed, 2 * static_cast<std::uint64_t>(epoch)));
    if (batches.empty()) throw OptionError("the sampler gave no batch");
    for (const auto& batch : batches) {
      if (batch.empty()) throw OptionError("the sampler gave an empty batch");
      for (const auto row : batch) {
        if (row < 0 || row >= static_cast<std::int64_t>(lengths_.size()))
          throw OptionError(message("the sampler gave row ", row, " of ", lengths_.size()));
      }
    }
    return batches_[epoch] = std::move(batches);
  }

  RunPlan plan() {
    RunPlan plan{.rows = static_cast<std::int64_t>(lengths_.size()), .steps_done = at_.step};
    const auto steps_of_epoch = [&](std::int64_t epoch) {
      const auto batches = static_cast<std::int64_t>(batches_of(epoch).size());
      return (batches + options_.accumulate - 1) / options_.accumulate;
    };
    if (const auto* epochs = std::get_if<Epochs>(&options_.length)) {
      plan.epochs = epochs->count;
      for (std::int64_t epoch = 0; epoch < epochs->count; ++epoch) plan.steps += steps_of_epoch(epoch);
    } else {
      plan.steps = std::get<Steps>(options_.length).count;
      const std::int64_t each = steps_of_epoch(0);
      plan.epochs = (plan.steps + each - 1) / each;
    }
    for (const auto& [name, tensor] : trainer_.optimizer_->parameters()) plan.trained_values += tensor.numel();
    return plan;
  }

  std::string data_hash() {
    std::string text;
    const auto add = [&](std::int64_t number) { text += std::to_string(number) + ","; };
    for (const auto length : lengths_) add(length);
    for (const auto& batch : batches_of(0)) {
      text += "\n";
      for (const auto row : batch) add(row);
    }
    return hex(fingerprint(text + "\n" + std::to_string(options_.accumulate)));
  }

  /// Throws unless this is the run that the trainer stands in; a trainer that stands at the start stands in any.
  void take_up(std::int64_t steps, const std::string& data) {
    const bool same_length = at_.steps == 0 || steps == at_.steps;  // 0: resumed with another length, as it was told
    if (!at_.data.empty() && (data != at_.data || !same_length)) {
      throw StateError(message("this is not the run that was begun: it had ", same_length ? steps : at_.steps,
                               " steps, this one has ", steps, data != at_.data ? ", and the batches are others" : "",
                               "; go on with the same data and options, or begin a run with a new trainer"));
    }
    if (at_.step > steps)
      throw StateError(message(at_.step, " steps are made already, and the run is to be of ", steps,
                               "; make it longer, or begin another"));
    if (options_.checkpoints) {
      if (at_.step == 0 && !checkpoint_steps(options_.checkpoints->directory).empty())
        throw OptionError(message(quoted(options_.checkpoints->directory.string()),
                                  " holds checkpoints of another run; resume it, or choose another directory"));
      trainer_.optimizer_->state();  // one that cannot be saved says so now
    }
    at_.data = data;
    at_.steps = steps;
  }

  std::int64_t warmup_steps() const {
    if (const auto* steps = std::get_if<Steps>(&options_.warmup)) return steps->count;
    return static_cast<std::int64_t>(
        std::ceil(std::get<Share>(options_.warmup).of_run * static_cast<double>(at_.steps)));
  }
  bool is_due(const std::variant<Epochs, Steps>& every) const {
    if (const auto* steps = std::get_if<Steps>(&every)) return at_.step % steps->count == 0;
    return at_.batch == 0 && at_.epoch % std::get<Epochs>(every).count == 0;
  }
  bool has_no_gain() const { return options_.patience > 0 && at_.not_better >= options_.patience; }
  bool is_stopped() const { return has_no_gain() || (options_.stop != nullptr && options_.stop->load()); }

  /// From where the run stands to the end of the epoch, or to where it has to stop.
  void train_epoch() {
    const std::int64_t epoch = at_.epoch;
    const std::span batches(batches_of(epoch));
    if (at_.batch >= static_cast<std::int64_t>(batches.size())) {
      throw StateError(message("the run stands after batch ", at_.batch, " of an epoch of ", batches.size(),
                               "; its checkpoint is of another run"));
    }
    epoch_loss_ = epoch_count_ = 0.0;
    while (at_.epoch == epoch && at_.step < at_.steps) {
      const auto left = static_cast<std::int64_t>(batches.size()) - at_.batch;
      const auto taken = std::min(options_.accumulate, left);
      const StepRecord record =
          step(batches.subspan(static_cast<std::size_t>(at_.batch), static_cast<std::size_t>(taken)));
      ++at_.step;
      at_.batch = taken < left ? at_.batch + taken : 0;
      if (taken == left) ++at_.epoch;
      for (const auto& callback : trainer_.callbacks_) callback->on_step(record);
      if (evaluate_ && (is_due(options_.evaluate_every) || at_.step == at_.steps)) evaluate();
      if (options_.checkpoints && is_due(options_.checkpoints->every)) save_and_rotate();
      if (is_stopped()) return;
    }
    batches_.erase(epoch);
  }

  StepRecord step(std::span<const std::vector<std::int64_t>> batches) {
    const detail::Stopwatch watch;
    // Odd parts are steps, even ones the order of epochs.
    torch::manual_seed(derived_seed(options_.seed, 2 * static_cast<std::uint64_t>(at_.step) + 1));
    Optimizer& optimizer = *trainer_.optimizer_;
    const double multiplier = options_.schedule(at_.step, span_);
    StepRecord record{.step = at_.step + 1, .epoch = at_.epoch + 1, .lr = optimizer.lr() * multiplier};
    for (const auto& rows : batches) {
      record.rows += static_cast<std::int64_t>(rows.size());
      for (const auto row : rows) record.tokens += lengths_[static_cast<std::size_t>(row)];
    }
    const StepGradients made = way_.gradients(batches);
    if (made.loss.sum.defined()) {
      const double sum = made.loss.sum.item<double>(), count = made.loss.count;
      record.loss = sum / count;
      record.judged = count;
      record.gradient_norm = made.scale.norm.item<double>();
      if (options_.guards.finite && !std::isfinite(record.gradient_norm)) {
        require_finite_gradients(optimizer.parameters(), record.step);
        throw TrainingError(message("the norm of the gradient overflows in step ", record.step,
                                    "; lower the learning rate or scale the loss down"));
      }
      if (learning_) learning_->observe();
      way_.update(multiplier, made);
      if (multiplier > 0.0) judge_learning();
      epoch_loss_ += sum;
      epoch_count_ += count;
    }
    record.seconds = watch.seconds();
    result_.steps = record.step;
    result_.tokens += record.tokens;
    result_.training_seconds += record.seconds;
    return record;
  }

  /// Counts a step that should have moved something; after enough of them the guards speak.
  void judge_learning() {
    if (++moving_steps_ != options_.guards.watched) return;
    if (learning_) learning_->check();
    if (frozen_) frozen_->check();
    learning_.reset();
  }

  void evaluate() {
    const detail::Stopwatch watch;
    EvaluationRecord record{.step = at_.step, .epoch = at_.epoch + (at_.batch > 0 ? 1 : 0), .scores = {}};
    {
      const detail::ModeScope modes(trainer_.module_);
      const torch::NoGradGuard no_grad;
      trainer_.module_.eval();
      record.scores = evaluate_();
    }
    const auto score = record.scores.find(options_.best_by.score);
    if (score == record.scores.end() && (options_.keep_best || options_.patience > 0)) {
      std::string names;
      for (const auto& [name, value] : record.scores) names += (names.empty() ? "" : ", ") + quoted(name);
      throw OptionError(message("best_by.score is ", quoted(options_.best_by.score), ", the evaluation gave ",
                                names.empty() ? "nothing" : names));
    }
    record.best = score != record.scores.end() && is_better(score->second);
    record.seconds = watch.seconds();
    at_.not_better = record.best ? 0 : at_.not_better + 1;
    at_.last = record;
    if (record.best) at_.best = record;
    if (record.best && options_.keep_best)
      trainer_.best_ = detail::copies_of(detail::changing_tensors(trainer_.module_));
    for (const auto& callback : trainer_.callbacks_) callback->on_evaluation(record);
  }

  bool is_better(double score) const {
    if (!std::isfinite(score)) return false;
    const auto before = at_.best ? at_.best->scores.find(options_.best_by.score) : Scores::const_iterator{};
    if (!at_.best || before == at_.best->scores.end()) return true;
    const double gain = options_.best_by.higher_is_better ? score - before->second : before->second - score;
    return gain > options_.best_by.min_gain;
  }

  void save_and_rotate() {
    const auto& [directory, every, keep] = *options_.checkpoints;
    trainer_.save(checkpoint_path(directory, at_.step));
    auto steps = checkpoint_steps(directory);
    std::erase_if(steps, [&](std::int64_t step) { return step > at_.step || step == trainer_.resumed_from_; });
    for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < steps.size(); ++i)
      remove_checkpoint(checkpoint_path(directory, steps[i]));
  }

  /// The last checks, and what the result says.
  void finish() {
    trainer_.optimizer_->zero_grad();
    const bool interrupted = at_.step < at_.steps && !has_no_gain();
    if (interrupted && options_.checkpoints && at_.step > 0) save_and_rotate();
    if (learning_ && moving_steps_ >= 3) learning_->check();
    if (learning_ && result_.steps > 0) learning_->check_gradients();
    if (frozen_) frozen_->check();
    if (options_.keep_best && !trainer_.best_.empty() && !interrupted)
      detail::copy_by_name(trainer_.best_, detail::changing_tensors(trainer_.module_));
    result_.reason = interrupted            ? StopReason::interrupted
                     : at_.step < at_.steps ? StopReason::stopped_early
                                            : StopReason::finished;
    result_.steps = at_.step;
    result_.loss = epoch_count_ > 0.0 ? epoch_loss_ / epoch_count_ : 0.0;
    result_.best = at_.best;
    result_.last = at_.last;
  }

  Trainer& trainer_;
  const TrainerOptions& options_;
  RunPosition& at_;
  std::span<const std::int64_t> lengths_;
  const StepWay& way_;
  const std::function<Scores()>& evaluate_;
  std::map<std::int64_t, Batches> batches_;  // by epoch
  ScheduleSpan span_;
  std::optional<FrozenGuard> frozen_;
  std::optional<LearningGuard> learning_;
  std::int64_t moving_steps_ = 0;                // with a learning rate above 0
  double epoch_loss_ = 0.0, epoch_count_ = 0.0;  // sums over the epoch
  TrainingResult result_;
};

}  // namespace graft
