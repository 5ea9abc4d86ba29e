#pragma once

#include "graft/training/trainer_options.hpp"

namespace graft::detail {

GRAFT_INLINE std::int64_t count_of(const std::variant<Epochs, Steps>& length) {
  return std::visit([](const auto& l) { return l.count; }, length);
}

GRAFT_INLINE std::int64_t warmup_steps(const std::variant<Share, Steps>& warmup, std::int64_t total) {
  if (const auto* steps = std::get_if<Steps>(&warmup)) return steps->count;
  return static_cast<std::int64_t>(std::ceil(std::get<Share>(warmup).of_run * static_cast<double>(total)));
}

GRAFT_INLINE TrainerOptions checked(TrainerOptions options) {
  std::string faults;
  const auto require = [&](bool good, const char* name, auto value, const char* rule) {
    if (!good) faults += message(faults.empty() ? "" : "; ", name, " is ", value, ", it must be ", rule);
  };
  const auto batch = std::visit([](const auto& size) { return size.count; }, options.batch);
  require(count_of(options.length) >= 1, "length", count_of(options.length), "at least 1");
  require(batch >= 1, "batch", batch, "at least 1");
  require(options.accumulate >= 1, "accumulate", options.accumulate, "at least 1");
  require(options.lr > 0.0 && std::isfinite(options.lr), "lr", options.lr, "finite and above 0");
  if (const auto* share = std::get_if<Share>(&options.warmup)) {
    require(share->of_run >= 0.0 && share->of_run <= 1.0, "warmup", share->of_run, "a share in [0, 1]");
  } else {
    require(std::get<Steps>(options.warmup).count >= 0, "warmup", std::get<Steps>(options.warmup).count, "at least 0");
  }
  require(options.weight_decay >= 0.0 && std::isfinite(options.weight_decay), "weight_decay", options.weight_decay,
          "finite and at least 0");
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
  if (!faults.empty()) throw OptionError("TrainerOptions: " + faults);
  return options;
}

}  // namespace graft::detail
