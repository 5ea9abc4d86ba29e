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
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/training/callback.hpp"
#include "graft/training/captured_step.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/position.hpp"
#include "graft/training/trainer_options.hpp"

namespace graft {

struct Checkpoint;

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
  /// Trains with AdamW and decay_groups(). `module` must outlive the trainer.
  /// Throws OptionError that lists every option out of range, and TrainingError if nothing in `module` is trained.
  Trainer(torch::nn::Module& module, TrainerOptions options);

  /// Trains with AdamW and the caller's groups.
  /// Throws as above, OptionError for `lr` or `weight_decay` beside those of the groups, and TrainingError unless the
  /// groups hold exactly what `module` trains.
  Trainer(torch::nn::Module& module, std::vector<ParameterGroup> groups, TrainerOptions options);

  /// Trains with an optimizer of the caller's, such as a LibTorchOptimizer. Throws likewise; it has `adamw` too.
  Trainer(torch::nn::Module& module, std::shared_ptr<Optimizer> optimizer, TrainerOptions options);

  /// Adds a callback; they are called in the order they were added.
  void add(std::shared_ptr<TrainingCallback> callback);

  /// Runs to the end. `loss_of(batch)` returns the Loss of what data.batch(rows) returned; `evaluate`, if given,
  /// returns scores and is called in evaluation mode without gradients. Throws TrainingError where a guard finds fault:
  /// the parameters are then those of the last good step. Afterwards, and after an error, the module is in the mode,
  /// training or evaluation, that it came in.
  ///
  /// Data that has a fingerprint() keeps it in checkpoints: a run is gone on with on the same data only. StateError.
  template <DataSource Data, class LossOf>
  TrainingResult train(Data&& data, LossOf&& loss_of, const std::function<Scores()>& evaluate = {}) {
    if constexpr (requires { std::string(data.fingerprint()); }) take_data(data.fingerprint());
    return train_rows(
        lengths_of(data), [&](std::span<const std::int64_t> rows) -> Loss { return loss_of(data.batch(rows)); },
        evaluate);
  }

  /// The same for rows that are no DataSource: their lengths, and the loss of chosen ones.
  TrainingResult train_rows(std::span<const std::int64_t> lengths,
                            const std::function<Loss(std::span<const std::int64_t> rows)>& loss_of_rows,
                            const std::function<Scores()>& evaluate = {});

  /// The same with each step handed to a CUDA device as a whole, by a CapturedStep, whose `options` and `loss_of` these
  /// are. What data.batch(rows) returns has `tokens`, a PackedBatch, and `labels`, both on the CPU. Guards, callbacks
  /// and checkpoints are those of train(); for them the host waits once a step. On the CPU it is train(). Throws
  /// OptionError too if `accumulate` is above 1, `options` has a clip_norm (the trainer's counts), or the optimizer is
  /// not AdamW, and what CapturedStep throws.
  template <DataSource Data>
  TrainingResult train_captured(Data&& data, const CapturedStepOptions& options, CapturedStep::LossOf loss_of,
                                const std::function<Scores()>& evaluate = {}) {
    if constexpr (requires { std::string(data.fingerprint()); }) take_data(data.fingerprint());
    const auto batch_of = [&](std::span<const std::int64_t> rows) {
      const auto batch = data.batch(rows);
      return std::pair<PackedBatch, torch::Tensor>(batch.tokens, batch.labels);
    };
    return train_captured_rows(lengths_of(data), batch_of, options, std::move(loss_of), evaluate);
  }

  /// Writes all that the run needs to go on: what it trains (and buffers), optimizer, place in the data, evaluations.
  /// Frozen parameters are not written, only their hash. Throws as save_checkpoint() does.
  void save(const std::filesystem::path& path) const;

  /// Takes up the run of a checkpoint: train() then gives the very losses of a run that was never stopped, on the same
  /// build, kind of device and number of threads. What differs in these is returned, a sentence each.
  /// Throws FormatError, with all faults in one list, if the checkpoint is damaged or of another module, base or run:
  /// other options (but for the length, which is returned as a difference) or another identity. Nothing is changed
  /// then.
  std::vector<std::string> resume(const std::filesystem::path& path);
  std::vector<std::string> resume(const Checkpoint& checkpoint, const std::string& where);

  /// Optimizer steps made so far.
  std::int64_t steps_done() const { return position_.step; }

  const TrainerOptions& options() const { return options_; }
  const Optimizer& optimizer() const { return *optimizer_; }

 private:
  struct StepWay;
  class Run;

  template <class Data>
  static std::vector<std::int64_t> lengths_of(Data& data) {
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(data.size()));
    for (std::size_t row = 0; row < lengths.size(); ++row) lengths[row] = data.length(static_cast<std::int64_t>(row));
    return lengths;
  }
  void take_data(const std::string& fingerprint);
  TrainingResult train_captured_rows(
      std::span<const std::int64_t> lengths,
      const std::function<std::pair<PackedBatch, torch::Tensor>(std::span<const std::int64_t> rows)>& batch_of,
      CapturedStepOptions options, CapturedStep::LossOf loss_of, const std::function<Scores()>& evaluate);
  TrainingResult run(std::span<const std::int64_t> lengths, const StepWay& way,
                     const std::function<Scores()>& evaluate);

  torch::nn::Module& module_;
  TrainerOptions options_;
  std::shared_ptr<Optimizer> optimizer_;
  std::vector<std::shared_ptr<TrainingCallback>> callbacks_;

  RunPosition position_;
  NamedTensors best_;  // copies of what training changes, at the best evaluation; none without keep_best
  std::optional<std::int64_t> resumed_from_;  // steps
  std::string data_;                          // its fingerprint, where it has one
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/trainer-inl.hpp"
#endif
