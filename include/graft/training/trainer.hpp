#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <torch/nn/module.h>

#include "graft/core/mode.hpp"
#include "graft/training/callback.hpp"
#include "graft/training/checkpoint.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/sampler.hpp"
#include "graft/training/schedule.hpp"
#include "graft/training/snapshot.hpp"
#include "graft/training/trainer_options.hpp"

namespace graft {

/// Rows to train on: how many, how long each is (tokens), and a batch, of any type, made of chosen ones.
template <class T>
concept DataSource = requires(T& data, std::int64_t row, std::span<const std::int64_t> rows) {
  { data.size() } -> std::convertible_to<std::int64_t>;
  { data.length(row) } -> std::convertible_to<std::int64_t>;
  data.batch(rows);
};

/// The loop: batches -> loss -> backward -> clip -> optimizer, with evaluation, early stopping, checkpoints and guards.
///
///     Trainer trainer(*model, {.length = Epochs{2}, .batch = Sequences{32}, .lr = 1e-4});
///     trainer.add(std::make_shared<ProgressBar>());
///     trainer.train(data, [&](const Batch& batch) { return cross_entropy(model->forward(batch.ids), batch.labels); });
///
/// It knows no model: the loss function says what happens to a batch. It trains what of the module requires a gradient
/// when the trainer is made, and holds state for nothing else.
/// The gradients of a step are divided once, by all that its batches counted: accumulating k batches is one big batch.
/// The same seed and number of threads give the same bits on a CPU. For that each step seeds LibTorch's generators anew
/// from (seed, step), and each epoch's order comes from (seed, epoch). Initial weights are the caller's to seed.
/// A trainer makes one run: train() goes on where the last call, or the checkpoint given to resume(), stopped.
/// Threads: one. The library prints nothing; callbacks may.
class Trainer {
 public:
  /// Trains with decay_groups(). `module` must outlive the trainer.
  /// Throws OptionError that lists every option out of range, and TrainingError if nothing in `module` is trained.
  Trainer(torch::nn::Module& module, TrainerOptions options);

  /// Trains with the caller's groups; `lr` and `weight_decay` of the options are ignored.
  /// Throws as above, and TrainingError unless the groups hold exactly what `module` trains.
  Trainer(torch::nn::Module& module, std::vector<ParameterGroup> groups, TrainerOptions options);

  /// Adds a callback; they are called in the order they were added.
  void add(std::shared_ptr<TrainingCallback> callback);

  /// Runs to the end. `loss_of(batch)` returns the Loss of what data.batch(rows) returned; `evaluate`, if given,
  /// returns scores and is called in evaluation mode without gradients. Throws TrainingError where a guard finds fault:
  /// the parameters are then those of the last good step. Afterwards, and after an error, the module is in the mode,
  /// training or evaluation, that it came in.
  template <DataSource Data, class LossOf>
  TrainingResult train(Data&& data, LossOf&& loss_of, const std::function<Scores()>& evaluate = {}) {
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(data.size()));
    for (std::size_t row = 0; row < lengths.size(); ++row) lengths[row] = data.length(static_cast<std::int64_t>(row));
    return train_rows(
        lengths, [&](std::span<const std::int64_t> rows) -> Loss { return loss_of(data.batch(rows)); }, evaluate);
  }

  /// The same for rows that are no DataSource: their lengths, and the loss of chosen ones.
  TrainingResult train_rows(std::span<const std::int64_t> lengths,
                            const std::function<Loss(std::span<const std::int64_t> rows)>& loss_of_rows,
                            const std::function<Scores()>& evaluate = {});

  /// Writes all that the run needs to go on: what it trains (and buffers), optimizer, place in the data, evaluations.
  /// Frozen parameters are not written, only their hash. Throws as save_checkpoint() does.
  void save(const std::filesystem::path& path) const;

  /// Takes up the run of a checkpoint: train() then gives the very losses of a run that was never stopped, on the same
  /// build, kind of device and number of threads. What differs in these is returned, a sentence each.
  /// Throws FormatError if the checkpoint is damaged or of another module, base or kind of run, and changes nothing.
  std::vector<std::string> resume(const std::filesystem::path& path);
  std::vector<std::string> resume(const Checkpoint& checkpoint, const std::string& where);

  /// Optimizer steps made so far.
  std::int64_t steps_done() const { return position_.step; }

  const TrainerOptions& options() const { return options_; }
  const AdamW& optimizer() const { return optimizer_; }

 private:
  struct Position {
    std::int64_t step = 0;   // finished
    std::int64_t epoch = 0;  // finished
    std::int64_t batch = 0;  // finished of the epoch it is in
  };
  struct Run;

  Batches batches_of_epoch(std::span<const std::int64_t> lengths, std::int64_t epoch) const;
  RunPlan plan(std::span<const std::int64_t> lengths) const;
  bool is_due(const std::variant<Epochs, Steps>& every) const;
  void train_epoch(Run& run);
  StepRecord step(Run& run, std::span<const std::vector<std::int64_t>> batches);
  std::pair<double, double> backward(const Run& run, std::span<const std::int64_t> rows);
  void judge_learning(Run& run);
  void evaluate(Run& run);
  bool is_better(double score) const;
  bool has_no_gain() const;
  bool is_stopped() const;
  void finish(Run& run);
  void save_and_rotate();
  std::string data_hash(std::span<const std::int64_t> lengths) const;

  torch::nn::Module& module_;
  TrainerOptions options_;
  AdamW optimizer_;
  std::vector<std::shared_ptr<TrainingCallback>> callbacks_;

  Position position_;
  std::optional<EvaluationRecord> best_, last_;
  std::int64_t not_better_ = 0;  // evaluations since the best
  std::optional<ParameterSnapshot> best_snapshot_;
  std::int64_t total_ = 0;  // steps of the run and its data's hash, once known: what a checkpoint must fit
  std::string data_hash_;
  std::optional<std::int64_t> resumed_from_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/resume-inl.hpp"
#include "graft/training/trainer-inl.hpp"
#endif
