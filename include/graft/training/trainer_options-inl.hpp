#pragma once

#include <cmath>
#include <string>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/training/trainer_options.hpp"

namespace graft::detail {

/// "3 epochs", "16 sequences".
GRAFT_INLINE std::string counted(const std::variant<Epochs, Steps>& length) {
  const auto* epochs = std::get_if<Epochs>(&length);
  return epochs ? message(epochs->count, " epochs") : message(std::get<Steps>(length).count, " steps");
}

GRAFT_INLINE std::map<std::string, std::string> run_settings(const TrainerOptions& options) {
  // Functions are known by what they give: the schedule of a run of 100 steps, the sampler's order of ten rows.
  std::string schedule, order;
  for (const std::int64_t step : {0, 5, 10, 40, 70, 99}) schedule += message(" ", options.schedule(step, {10, 100}));
  const std::vector<std::int64_t> lengths{3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
  for (const auto& batch : options.sampler(lengths, Sequences{3}, 1)) {
    for (const std::int64_t row : batch) order += message(" ", row);
  }
  const auto* rows = std::get_if<Sequences>(&options.batch);
  const auto* share = std::get_if<Share>(&options.warmup);
  std::map<std::string, std::string> settings = {
      {"batch", rows ? message(rows->count, " sequences") : message(std::get<Tokens>(options.batch).count, " tokens")},
      {"accumulate", message(options.accumulate)},
      {"sampler", "the order" + order},
      {"warmup",
       share ? message("a share of ", share->of_run) : message(std::get<Steps>(options.warmup).count, " steps")},
      {"schedule", "the multipliers" + schedule},
      {"adamw", message("beta1 ", options.adamw.beta1, ", beta2 ", options.adamw.beta2, ", eps ", options.adamw.eps)},
      {"clip_norm", message(options.clip_norm)}};
  if (options.lr) settings["lr"] = message(*options.lr);
  if (options.weight_decay) settings["weight_decay"] = message(*options.weight_decay);
  settings.insert(options.identity.begin(), options.identity.end());
  return settings;
}

GRAFT_INLINE TrainerOptions checked(TrainerOptions options, Brought brought) {
  const auto count_of = [](const auto& length) { return std::visit([](const auto& l) { return l.count; }, length); };
  std::string faults;
  const auto require = [&](bool good, const char* name, auto value, const char* rule) {
    if (!good) faults += message(faults.empty() ? "" : "; ", name, " is ", value, ", it must be ", rule);
  };
  require(count_of(options.length) >= 1, "length", count_of(options.length), "at least 1");
  require(count_of(options.batch) >= 1, "batch", count_of(options.batch), "at least 1");
  require(options.accumulate >= 1, "accumulate", options.accumulate, "at least 1");
  const double lr = options.lr.value_or(1.0), weight_decay = options.weight_decay.value_or(0.0);
  require(lr > 0.0 && std::isfinite(lr), "lr", lr, "finite and above 0");
  if (const auto* share = std::get_if<Share>(&options.warmup)) {
    require(share->of_run >= 0.0 && share->of_run <= 1.0, "warmup", share->of_run, "a share in [0, 1]");
  } else {
    require(std::get<Steps>(options.warmup).count >= 0, "warmup", std::get<Steps>(options.warmup).count, "at least 0");
  }
  require(weight_decay >= 0.0 && std::isfinite(weight_decay), "weight_decay", weight_decay, "finite and at least 0");
  require(options.clip_norm > 0.0, "clip_norm", options.clip_norm, "above 0 (infinity to clip nothing)");
  require(count_of(options.evaluate_every) >= 1, "evaluate_every", count_of(options.evaluate_every), "at least 1");
  require(options.best_by.min_gain >= 0.0, "best_by.min_gain", options.best_by.min_gain, "at least 0");
  require(options.patience >= 0, "patience", options.patience, "at least 0");
  require(options.guards.watched >= 3, "guards.watched", options.guards.watched, "at least 3");
  if (options.checkpoints) {
    require(!options.checkpoints->directory.empty(), "checkpoints.directory", "empty", "a path");
    require(count_of(options.checkpoints->every) >= 1, "checkpoints.every", count_of(options.checkpoints->every),
            "at least 1");
    require(options.checkpoints->keep >= 1, "checkpoints.keep", options.checkpoints->keep, "at least 1");
  }
  require(options.sampler != nullptr, "sampler", "empty", "a callable");
  require(options.schedule != nullptr, "schedule", "empty", "a callable");
  const auto in_vain = [&](bool given, const char* name) {
    if (given)
      faults += message(faults.empty() ? "" : "; ", name, " is set, but ",
                        brought == Brought::groups ? "the groups have their own" : "the optimizer has its own",
                        "; set it there alone");
  };
  if (brought != Brought::nothing) {
    in_vain(options.lr.has_value(), "lr");
    in_vain(options.weight_decay.has_value(), "weight_decay");
  }
  if (brought == Brought::optimizer) in_vain(options.adamw != AdamWOptions{}, "adamw");
  if (!faults.empty()) throw OptionError("TrainerOptions: " + faults);
  return options;
}

}  // namespace graft::detail
