#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>

#include <torch/utils.h>

#include "graft/training/guards.hpp"
#include "graft/training/trainer.hpp"

namespace graft {

namespace detail {

/// Remembers which modules are in training mode, and puts them back.
class ModeScope {
 public:
  explicit ModeScope(torch::nn::Module& module) : module_(module), training_(module.is_training()) {
    for (const auto& part : module.modules(/*include_self=*/false)) parts_.emplace_back(part, part->is_training());
  }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;
  ~ModeScope() {
    // A module's train() also sets what is inside it, and what is inside comes later here.
    if (module_.is_training() != training_) module_.train(training_);
    for (const auto& [part, training] : parts_) {
      if (part->is_training() != training) part->train(training);
    }
  }

 private:
  torch::nn::Module& module_;
  bool training_;
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> parts_;
};

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

GRAFT_INLINE std::vector<ParameterGroup> required_decay_groups(const torch::nn::Module& module,
                                                         const TrainerOptions& options) {
  require_trained_parameters(module);
  return decay_groups(module, options.lr, options.weight_decay);
}

}  // namespace detail

/// What one call of train_rows() carries along.
struct Trainer::Run {
  std::span<const std::int64_t> lengths;
  const std::function<Loss(std::span<const std::int64_t>)>& loss_of_rows;
  const std::function<Scores()>& evaluate;
  ScheduleSpan span;
  std::optional<FrozenGuard> frozen;
  std::optional<LearningGuard> learning;
  std::int64_t moving_steps = 0;               // with a learning rate above 0
  double epoch_loss = 0.0, epoch_count = 0.0;  // sums over the epoch
  TrainingResult result;
};

GRAFT_INLINE Trainer::Trainer(torch::nn::Module& module, TrainerOptions options)
    : module_(module),
      options_(detail::checked(std::move(options))),
      optimizer_(detail::required_decay_groups(module, options_), options_.adamw) {}

GRAFT_INLINE Trainer::Trainer(torch::nn::Module& module, std::vector<ParameterGroup> groups, TrainerOptions options)
    : module_(module), options_(detail::checked(std::move(options))), optimizer_(std::move(groups), options_.adamw) {
  require_same_parameters(module_, optimizer_.parameters());
}

GRAFT_INLINE void Trainer::add(std::shared_ptr<TrainingCallback> callback) {
  if (!callback) throw OptionError("the callback is a null pointer");
  callbacks_.push_back(std::move(callback));
}

GRAFT_INLINE Batches Trainer::batches_of_epoch(std::span<const std::int64_t> lengths, std::int64_t epoch) const {
  auto batches =
      options_.sampler(lengths, options_.batch, derived_seed(options_.seed, 2 * static_cast<std::uint64_t>(epoch)));
  if (batches.empty()) throw OptionError("the sampler gave no batch");
  for (const auto& batch : batches) {
    if (batch.empty()) throw OptionError("the sampler gave an empty batch");
    for (const auto row : batch) {
      if (row < 0 || row >= static_cast<std::int64_t>(lengths.size())) {
        throw OptionError(message("the sampler gave row ", row, " of ", lengths.size()));
      }
    }
  }
  return batches;
}

GRAFT_INLINE RunPlan Trainer::plan(std::span<const std::int64_t> lengths) const {
  RunPlan plan{.rows = static_cast<std::int64_t>(lengths.size()), .steps_done = position_.step};
  const auto steps_of_epoch = [&](std::int64_t epoch) {
    const auto batches = static_cast<std::int64_t>(batches_of_epoch(lengths, epoch).size());
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
  for (const auto& [name, tensor] : optimizer_.parameters()) plan.trained_values += tensor.numel();
  return plan;
}

GRAFT_INLINE std::string Trainer::data_hash(std::span<const std::int64_t> lengths) const {
  std::string text;
  const auto add = [&](std::int64_t number) { text += std::to_string(number) + ","; };
  for (const auto length : lengths) add(length);
  for (const auto& batch : batches_of_epoch(lengths, 0)) {
    text += "\n";
    for (const auto row : batch) add(row);
  }
  return hex(fingerprint(text + "\n" + std::to_string(options_.accumulate)));
}

GRAFT_INLINE bool Trainer::is_due(const std::variant<Epochs, Steps>& every) const {
  if (const auto* steps = std::get_if<Steps>(&every)) return position_.step % steps->count == 0;
  return position_.batch == 0 && position_.epoch % std::get<Epochs>(every).count == 0;
}

GRAFT_INLINE TrainingResult Trainer::train_rows(std::span<const std::int64_t> lengths,
                                          const std::function<Loss(std::span<const std::int64_t>)>& loss_of_rows,
                                          const std::function<Scores()>& evaluate) {
  if (lengths.empty()) throw OptionError("there are no rows to train on");
  if (!evaluate && (options_.keep_best || options_.patience > 0)) {
    throw OptionError("keep_best and patience need an evaluation: give train() one");
  }
  require_trained_parameters(module_);
  require_same_parameters(module_, optimizer_.parameters());
  const RunPlan run_plan = plan(lengths);
  const std::string hash = data_hash(lengths);
  if (!data_hash_.empty() && (hash != data_hash_ || run_plan.steps != total_)) {
    throw StateError(message("this is not the run that was begun: it had ", total_, " steps, this one has ",
                             run_plan.steps, hash != data_hash_ ? ", and the batches are others" : "",
                             "; go on with the same data and options, or begin a run with a new trainer"));
  }
  if (options_.checkpoints && position_.step == 0 && !checkpoint_steps(options_.checkpoints->directory).empty()) {
    throw OptionError(message(quoted(options_.checkpoints->directory.string()),
                              " holds checkpoints of another run; resume it, or choose another directory"));
  }
  data_hash_ = hash;
  total_ = run_plan.steps;

  const detail::Stopwatch watch;
  const detail::ModeScope modes(module_);
  Run run{.lengths = lengths,
          .loss_of_rows = loss_of_rows,
          .evaluate = evaluate,
          .span = {.warmup = detail::warmup_steps(options_.warmup, total_), .total = total_},
          .frozen = {},
          .learning = {},
          .result = {}};
  if (options_.guards.frozen) run.frozen.emplace(module_);
  if (options_.guards.learning) run.learning.emplace(optimizer_);
  module_.train();
  for (const auto& callback : callbacks_) callback->on_begin(run_plan);
  while (position_.step < total_ && !is_stopped()) train_epoch(run);
  finish(run);
  run.result.seconds = watch.seconds();
  for (const auto& callback : callbacks_) callback->on_end(run.result);
  return run.result;
}

GRAFT_INLINE bool Trainer::has_no_gain() const { return options_.patience > 0 && not_better_ >= options_.patience; }

GRAFT_INLINE bool Trainer::is_stopped() const { return has_no_gain() || (options_.stop != nullptr && options_.stop->load()); }

/// From where the run stands to the end of the epoch, or to where it has to stop.
GRAFT_INLINE void Trainer::train_epoch(Run& run) {
  const Batches batches = batches_of_epoch(run.lengths, position_.epoch);
  if (position_.batch >= static_cast<std::int64_t>(batches.size())) {
    throw StateError(message("the run stands after batch ", position_.batch, " of an epoch of ", batches.size(),
                             "; its checkpoint is of another run"));
  }
  run.epoch_loss = run.epoch_count = 0.0;
  for (const std::int64_t epoch = position_.epoch; position_.epoch == epoch && position_.step < total_;) {
    const auto left = static_cast<std::int64_t>(batches.size()) - position_.batch;
    const auto taken = std::min(options_.accumulate, left);
    const StepRecord record = step(
        run, std::span(batches).subspan(static_cast<std::size_t>(position_.batch), static_cast<std::size_t>(taken)));
    ++position_.step;
    position_.batch = taken < left ? position_.batch + taken : 0;
    if (taken == left) ++position_.epoch;
    for (const auto& callback : callbacks_) callback->on_step(record);
    if (run.evaluate && (is_due(options_.evaluate_every) || position_.step == total_)) evaluate(run);
    if (options_.checkpoints && is_due(options_.checkpoints->every)) save_and_rotate();
    if (is_stopped()) return;
  }
}

/// The last checks, and what the result says.
GRAFT_INLINE void Trainer::finish(Run& run) {
  optimizer_.zero_grad();
  const bool interrupted = position_.step < total_ && !has_no_gain();
  if (interrupted && options_.checkpoints && position_.step > 0) save_and_rotate();
  if (run.learning && run.moving_steps >= 3) run.learning->check();
  if (run.learning && run.result.steps > 0) run.learning->check_gradients();
  if (run.frozen) run.frozen->check();
  if (options_.keep_best && best_snapshot_ && !interrupted) best_snapshot_->restore();
  run.result.reason = interrupted               ? StopReason::interrupted
                      : position_.step < total_ ? StopReason::stopped_early
                                                : StopReason::finished;
  run.result.steps = position_.step;
  run.result.loss = run.epoch_count > 0.0 ? run.epoch_loss / run.epoch_count : 0.0;
  run.result.best = best_;
  run.result.last = last_;
}

GRAFT_INLINE StepRecord Trainer::step(Run& run, std::span<const std::vector<std::int64_t>> batches) {
  const detail::Stopwatch watch;
  // Odd parts are steps, even ones the order of epochs.
  torch::manual_seed(derived_seed(options_.seed, 2 * static_cast<std::uint64_t>(position_.step) + 1));
  optimizer_.zero_grad();
  const double multiplier = options_.schedule(position_.step, run.span);
  StepRecord record{
      .step = position_.step + 1, .epoch = position_.epoch + 1, .lr = optimizer_.groups().front().lr * multiplier};
  double sum = 0.0, count = 0.0;
  for (const auto& rows : batches) {
    record.rows += static_cast<std::int64_t>(rows.size());
    for (const auto row : rows) record.tokens += run.lengths[static_cast<std::size_t>(row)];
    const auto [batch_sum, batch_count] = backward(run, rows);
    sum += batch_sum;
    count += batch_count;
  }
  if (count > 0.0) {
    const auto parameters = optimizer_.parameters();
    const auto scale = gradient_scale(parameters, count, options_.clip_norm);
    record.gradient_norm = scale.norm.item<double>();
    if (options_.guards.finite && !std::isfinite(record.gradient_norm)) {
      require_finite_gradients(parameters, record.step);
      throw TrainingError(message("the norm of the gradient overflows in step ", record.step,
                                  "; lower the learning rate or scale the loss down"));
    }
    if (run.learning) run.learning->observe();
    optimizer_.step(multiplier, scale.divisor);
    record.loss = sum / count;
    if (multiplier > 0.0) judge_learning(run);
  }
  run.epoch_loss += sum;
  run.epoch_count += count;
  record.seconds = watch.seconds();
  run.result.steps = record.step;
  run.result.tokens += record.tokens;
  run.result.training_seconds += record.seconds;
  return record;
}

/// Adds the gradients of a batch; its loss as sum and count.
GRAFT_INLINE std::pair<double, double> Trainer::backward(const Run& run, std::span<const std::int64_t> rows) {
  const std::int64_t number = position_.step + 1;
  const Loss loss = run.loss_of_rows(rows);
  if (!loss.sum.defined() || loss.sum.numel() != 1) {
    throw ShapeError(message("the loss of step ", number, " must be one number, the sum over the batch",
                             loss.sum.defined() ? message("; it has the shape ", loss.sum.sizes()) : ""));
  }
  const double sum = loss.sum.item<double>();
  if (options_.guards.finite) require_finite_loss(sum, number, rows);
  const double count = loss.count;
  if (!(count >= 0.0 && std::isfinite(count))) {
    throw OptionError(message("the loss of step ", number, " counts ", count, " rows or tokens"));
  }
  if (count == 0.0) return {0.0, 0.0};
  if (!loss.sum.requires_grad()) {
    throw TrainingError(message("the loss of step ", number,
                                " has no gradient: it depends on no trained parameter, or "
                                "was computed under NoGradGuard"));
  }
  loss.sum.backward();
  return {sum, count};
}

/// Counts a step that should have moved something; after enough of them the guards speak.
GRAFT_INLINE void Trainer::judge_learning(Run& run) {
  if (++run.moving_steps != options_.guards.watched) return;
  if (run.learning) run.learning->check();
  if (run.frozen) run.frozen->check();
  run.learning.reset();
}

GRAFT_INLINE void Trainer::evaluate(Run& run) {
  const detail::Stopwatch watch;
  EvaluationRecord record{
      .step = position_.step, .epoch = position_.epoch + (position_.batch > 0 ? 1 : 0), .scores = {}};
  {
    const detail::ModeScope modes(module_);
    const torch::NoGradGuard no_grad;
    module_.eval();
    record.scores = run.evaluate();
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
  not_better_ = record.best ? 0 : not_better_ + 1;
  last_ = record;
  if (record.best) best_ = record;
  if (record.best && options_.keep_best) best_snapshot_.emplace(module_);
  for (const auto& callback : callbacks_) callback->on_evaluation(record);
}

GRAFT_INLINE bool Trainer::is_better(double score) const {
  if (!std::isfinite(score)) return false;
  const auto before = best_ ? best_->scores.find(options_.best_by.score) : Scores::const_iterator{};
  if (!best_ || before == best_->scores.end()) return true;
  const double gain = options_.best_by.higher_is_better ? score - before->second : before->second - score;
  return gain > options_.best_by.min_gain;
}

}  // namespace graft
