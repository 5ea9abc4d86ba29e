#pragma once

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>

#include <torch/utils.h>
#include <torch/version.h>

#include <nlohmann/json.hpp>

#include "graft/training/guards.hpp"
#include "graft/training/trainer.hpp"
#include "graft/version.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE Json scores_json(const std::optional<EvaluationRecord>& record) {
  if (!record) return nullptr;
  Json scores = Json::array();
  for (const auto& [name, value] : record->scores) {
    // As text, which keeps every bit and what is not finite.
    char text[64];
    std::snprintf(text, sizeof(text), "%a", value);
    scores.push_back({name, text});
  }
  return {{"step", record->step}, {"epoch", record->epoch}, {"scores", scores}, {"best", record->best}};
}

GRAFT_INLINE std::optional<EvaluationRecord> scores_from(const Json& state, const char* name) {
  const Json& json = state.at(name);
  if (json.is_null()) return std::nullopt;
  EvaluationRecord record{.step = json.at("step"), .epoch = json.at("epoch"), .scores = {}, .best = json.at("best")};
  for (const auto& score : json.at("scores")) {
    record.scores[score.at(0)] = std::strtod(score.at(1).get<std::string>().c_str(), nullptr);
  }
  return record;
}

/// One hash of the names and bits of every frozen parameter.
GRAFT_INLINE std::string frozen_hash(const torch::nn::Module& module) {
  std::string all;
  for (const auto& item : module.named_parameters()) {
    const auto& tensor = item.value();
    if (!tensor.defined() || tensor.requires_grad() || tensor.layout() != torch::kStrided) continue;
    all += item.key() + " " + hex(fingerprint(tensor)) + "\n";
  }
  return hex(fingerprint(all));
}

/// Faults of `given` against the tensors that are to take it, each with name.
GRAFT_INLINE std::string misfits(const NamedTensors& own, const NamedTensors& given, const char* what) {
  std::map<std::string, torch::Tensor> left(given.begin(), given.end());
  std::string faults;
  for (const auto& [name, tensor] : own) {
    const auto found = left.find(name);
    if (found == left.end()) {
      faults += message("; ", what, " lacks ", quoted(name));
    } else if (found->second.sizes() != tensor.sizes() || found->second.scalar_type() != tensor.scalar_type()) {
      faults += message("; ", what, " holds ", quoted(name), " as ", found->second.dtype(), " ", found->second.sizes(),
                        " where ", tensor.dtype(), " ", tensor.sizes(), " is needed");
    }
    if (found != left.end()) left.erase(found);
  }
  for (const auto& [name, tensor] : left) faults += message("; ", what, " holds ", quoted(name), ", not trained here");
  return faults;
}

GRAFT_INLINE void copy_by_name(const NamedTensors& from, const NamedTensors& to) {
  const torch::NoGradGuard no_grad;
  const std::map<std::string, torch::Tensor> given(from.begin(), from.end());
  for (const auto& [name, tensor] : to) tensor.copy_(given.at(name));
}

}  // namespace detail

GRAFT_INLINE void Trainer::save_and_rotate() {
  const auto& [directory, every, keep] = *options_.checkpoints;
  save(checkpoint_path(directory, position_.step));
  auto steps = checkpoint_steps(directory);
  std::erase_if(steps, [&](std::int64_t step) { return step > position_.step || step == resumed_from_; });
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < steps.size(); ++i) {
    std::filesystem::remove_all(checkpoint_path(directory, steps[i]));
  }
}

GRAFT_INLINE void Trainer::save(const std::filesystem::path& path) const {
  Checkpoint checkpoint;
  checkpoint.state = {{"step", position_.step},
                      {"epoch", position_.epoch},
                      {"batch", position_.batch},
                      {"steps", total_},
                      {"seed", options_.seed},
                      {"data", data_hash_},
                      {"frozen", detail::frozen_hash(module_)},
                      {"best", detail::scores_json(best_)},
                      {"last", detail::scores_json(last_)},
                      {"not_better", not_better_},
                      {"graft", GRAFT_VERSION},
                      {"libtorch", TORCH_VERSION},
                      {"threads", torch::get_num_threads()}};
  checkpoint.tensors["module"] = ParameterSnapshot::changing_tensors(module_);
  checkpoint.tensors["optimizer"] = optimizer_.state();
  if (best_snapshot_) checkpoint.tensors["best"] = best_snapshot_->tensors();
  save_checkpoint(path, checkpoint);
}

GRAFT_INLINE std::vector<std::string> Trainer::resume(const std::filesystem::path& path) {
  return resume(load_checkpoint(path), path.string());
}

GRAFT_INLINE std::vector<std::string> Trainer::resume(const Checkpoint& checkpoint, const std::string& where) {
  const JsonFields state(checkpoint.state, where);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const Position position{.step = state.integer("step", 0, most),
                          .epoch = state.integer("epoch", 0, most),
                          .batch = state.integer("batch", 0, most)};
  const std::int64_t not_better = state.integer("not_better", 0, most);
  const auto best = detail::scores_from(checkpoint.state, "best");
  const auto last = detail::scores_from(checkpoint.state, "last");

  const auto part = [&](const char* name) {
    const auto found = checkpoint.tensors.find(name);
    return found == checkpoint.tensors.end() ? NamedTensors{} : found->second;
  };
  const NamedTensors module = part("module"), optimizer = part("optimizer"), best_tensors = part("best");
  std::string faults = detail::misfits(ParameterSnapshot::changing_tensors(module_), module, "it") +
                       detail::misfits(optimizer_.state(), optimizer, "its optimizer");
  if (!best_tensors.empty()) {
    faults += detail::misfits(ParameterSnapshot::changing_tensors(module_), best_tensors, "its best evaluation");
  }
  if (state.text("frozen") != detail::frozen_hash(module_)) faults += "; the frozen parameters are others";
  if (checkpoint.state.at("seed") != options_.seed) {
    faults += message("; its seed is ", checkpoint.state.at("seed"), ", not ", options_.seed);
  }
  if (options_.keep_best && best && best_tensors.empty()) faults += "; it was saved without keep_best";
  if (!faults.empty()) throw FormatError(quoted(where) + " does not fit this trainer" + faults);

  detail::copy_by_name(module, ParameterSnapshot::changing_tensors(module_));
  optimizer_.load_state(optimizer);
  best_snapshot_.reset();
  if (!best_tensors.empty()) best_snapshot_.emplace(module_, best_tensors);
  position_ = position;
  resumed_from_ = position.step;
  total_ = state.integer("steps", 0, most);
  data_hash_ = state.text("data");
  best_ = best;
  last_ = last;
  not_better_ = not_better;

  std::vector<std::string> differences;
  const auto compare = [&](const char* name, const std::string& then, const std::string& now) {
    if (then != now) differences.push_back(message(name, " was ", then, " and is ", now, ": the bits may differ"));
  };
  compare("graft", state.text("graft"), GRAFT_VERSION);
  compare("LibTorch", state.text("libtorch"), TORCH_VERSION);
  compare("the number of threads", std::to_string(state.integer("threads", 1, 1 << 20)),
          std::to_string(torch::get_num_threads()));
  return differences;
}

}  // namespace graft
