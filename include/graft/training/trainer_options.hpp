#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "graft/core/mode.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/sampler.hpp"
#include "graft/training/schedule.hpp"

namespace graft {

/// Passes over the data.
struct Epochs {
  std::int64_t count = 0;
};

/// Optimizer steps.
struct Steps {
  std::int64_t count = 0;
};

/// A share of the run's steps, in [0, 1].
struct Share {
  double of_run = 0.0;
};

/// The score by which evaluations are compared.
struct BestBy {
  std::string score = "loss";
  bool higher_is_better = false;
  double min_gain = 0.0;  ///< what a score must be better by to count as better, >= 0
};

/// Which of the checks of guards.hpp the trainer makes. Those that cost nothing are always made: something is trained,
/// and the optimizer holds exactly that.
struct Guards {
  bool finite = true;        ///< the loss and the gradients, in every step and before anything is changed
  bool learning = true;      ///< every trained parameter gets a gradient and moves
  bool frozen = true;        ///< no frozen parameter changes: looked at with `learning`, and at the end
  std::int64_t watched = 5;  ///< steps with a learning rate above 0 after which `learning` is judged, >= 3
};

/// Where and how often the state of a run is saved.
struct CheckpointOptions {
  std::filesystem::path directory = {};  ///< gets "step-000100" and so on; a fresh run wants none in it
  std::variant<Epochs, Steps> every = Epochs{1};
  std::int64_t keep = 2;  ///< the newest so many stay, >= 1, and the one resumed from
};

/// Settings of a training run. TrainerOptions{} fine-tunes as transformers does, but in batches grouped by length.
struct TrainerOptions {
  std::variant<Epochs, Steps> length = Epochs{3};
  BatchSize batch = Sequences{8};  ///< rows of one forward pass
  std::int64_t accumulate = 1;     ///< batches of one optimizer step, >= 1
  Sampler sampler = GroupedByLength{};

  std::optional<double> lr = std::nullopt;  ///< > 0; 5e-5 unless given. Not beside groups or an optimizer of one's own
  std::variant<Share, Steps> warmup = Steps{0};
  Schedule schedule = LinearDecay{};
  std::optional<double> weight_decay = std::nullopt;  ///< of matrices, see decay_groups(); 0 unless given; as lr
  AdamWOptions adamw = {};                            ///< not beside an optimizer of one's own
  double clip_norm = 1.0;                             ///< > 0; infinity clips nothing

  std::variant<Epochs, Steps> evaluate_every = Epochs{1};  ///< and always at the end
  BestBy best_by = {};
  bool keep_best = false;     ///< end with the parameters of the best evaluation, not of the last step
  std::int64_t patience = 0;  ///< stop after so many evaluations in a row that were no better; 0 never stops

  std::uint64_t seed = 42;  ///< of the order of rows, and of everything random in forward passes
  Guards guards = {};
  std::optional<CheckpointOptions> checkpoints = std::nullopt;
  const std::atomic<bool>* stop = nullptr;  ///< once true, the run ends after the step it is in

  /// What else makes the run what it is, by name: the data's fingerprint, an adapter's alpha. A checkpoint keeps it
  /// beside these options, and a run with others is not resumed.
  std::map<std::string, std::string> identity = {};
};

namespace detail {

/// What of the optimizer a caller brings.
enum class Brought { nothing, groups, optimizer };

std::string counted(const std::variant<Epochs, Steps>& length);

/// The options that change what a run comes to, as texts by name, and the caller's identity.
std::map<std::string, std::string> run_settings(const TrainerOptions& options);

/// The options as they are, or an OptionError that lists every one out of range or in vain.
TrainerOptions checked(TrainerOptions options, Brought brought);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/trainer_options-inl.hpp"
#endif
