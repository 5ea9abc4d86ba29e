#pragma once

#include <cmath>

#include <torch/utils.h>
#include <torch/version.h>

#include "graft/training/checkpoint.hpp"
#include "graft/training/detail/named_tensors.hpp"
#include "graft/training/detail/position_json.hpp"
#include "graft/training/detail/training_run.hpp"
#include "graft/training/guards.hpp"
#include "graft/training/trainer.hpp"
#include "graft/version.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::vector<ParameterGroup> groups_to_train(const torch::nn::Module& module,
                                                         const TrainerOptions& options) {
  require_trained_parameters(module);
  const ParameterGroup usual;
  return decay_groups(module, options.lr.value_or(usual.lr), options.weight_decay.value_or(usual.weight_decay));
}

}  // namespace detail

GRAFT_INLINE Trainer::Trainer(torch::nn::Module& module, TrainerOptions options)
    : module_(module),
      options_(detail::checked(std::move(options), detail::Brought::nothing)),
      optimizer_(std::make_shared<AdamW>(detail::groups_to_train(module, options_), options_.adamw)) {}

GRAFT_INLINE Trainer::Trainer(torch::nn::Module& module, std::vector<ParameterGroup> groups, TrainerOptions options)
    : module_(module),
      options_(detail::checked(std::move(options), detail::Brought::groups)),
      optimizer_(std::make_shared<AdamW>(std::move(groups), options_.adamw)) {
  require_same_parameters(module_, optimizer_->parameters());
}

GRAFT_INLINE Trainer::Trainer(torch::nn::Module& module, std::shared_ptr<Optimizer> optimizer, TrainerOptions options)
    : module_(module),
      options_(detail::checked(std::move(options), detail::Brought::optimizer)),
      optimizer_(std::move(optimizer)) {
  if (!optimizer_) throw OptionError("the optimizer is a null pointer");
  require_same_parameters(module_, optimizer_->parameters());
}

GRAFT_INLINE void Trainer::add(std::shared_ptr<TrainingCallback> callback) {
  if (!callback) throw OptionError("the callback is a null pointer");
  callbacks_.push_back(std::move(callback));
}

GRAFT_INLINE TrainingResult Trainer::train_rows(std::span<const std::int64_t> lengths,
                                                const std::function<Loss(std::span<const std::int64_t>)>& loss_of_rows,
                                                const std::function<Scores()>& evaluate) {
  StepWay way;
  way.gradients = [&](std::span<const std::vector<std::int64_t>> batches) {
    const std::int64_t number = position_.step + 1;
    const auto loss_of = [&](std::size_t i) -> Loss {
      const Loss loss = loss_of_rows(batches[i]);
      if (!loss.sum.defined() || loss.sum.numel() != 1) {
        throw ShapeError(message("the loss of step ", number, " must be one number, the sum over the batch",
                                 loss.sum.defined() ? message("; it has the shape ", loss.sum.sizes()) : ""));
      }
      if (options_.guards.finite) require_finite_loss(loss.sum.item<double>(), number, batches[i]);
      const double count = loss.count;
      if (!(count >= 0.0 && std::isfinite(count)))
        throw OptionError(message("the loss of step ", number, " counts ", count, " rows or tokens"));
      if (count == 0.0) return {};
      if (!loss.sum.requires_grad()) {
        throw TrainingError(message("the loss of step ", number,
                                    " has no gradient: it depends on no trained parameter, or "
                                    "was computed under NoGradGuard"));
      }
      return {loss.sum, count};
    };
    return make_gradients(*optimizer_, batches.size(), loss_of, options_.clip_norm);
  };
  way.update = [&](double lr_multiplier, const StepGradients& made) {
    optimizer_->step(lr_multiplier, made.scale.divisor);
  };
  return run(lengths, way, evaluate);
}

GRAFT_INLINE TrainingResult Trainer::train_captured_rows(
    std::span<const std::int64_t> lengths,
    const std::function<std::pair<PackedBatch, torch::Tensor>(std::span<const std::int64_t>)>& batch_of,
    CapturedStepOptions options, CapturedStep::LossOf loss_of, const std::function<Scores()>& evaluate) {
  auto* adamw = dynamic_cast<AdamW*>(optimizer_.get());
  if (!adamw) throw OptionError("a captured step is made with graft's AdamW; train() takes any optimizer");
  if (options_.accumulate > 1)
    throw OptionError(message("accumulate is ", options_.accumulate, "; a captured step is one batch"));
  if (!std::isinf(options.clip_norm))
    throw OptionError(message("the captured step's clip_norm is ", options.clip_norm, "; set the trainer's alone"));
  options.clip_norm = options_.clip_norm;
  CapturedStep step(*adamw, options, std::move(loss_of));
  StepWay way;
  way.gradients = [&](std::span<const std::vector<std::int64_t>> batches) -> StepGradients {
    const auto& rows = batches.front();
    const auto [tokens, labels] = batch_of(rows);
    if (labels.eq(options.ignore_index).all().item<bool>()) return {};
    const StepGradients made = step.gradients(tokens, labels);
    if (options_.guards.finite) require_finite_loss(made.loss.sum.item<double>(), position_.step + 1, rows);
    return made;
  };
  way.update = [&](double lr_multiplier, const StepGradients&) { step.update(lr_multiplier); };
  return run(lengths, way, evaluate);
}

GRAFT_INLINE TrainingResult Trainer::run(std::span<const std::int64_t> lengths, const StepWay& way,
                                         const std::function<Scores()>& evaluate) {
  if (lengths.empty()) throw OptionError("there are no rows to train on");
  if (!evaluate && (options_.keep_best || options_.patience > 0))
    throw OptionError("keep_best and patience need an evaluation: give train() one");
  require_trained_parameters(module_);
  require_same_parameters(module_, optimizer_->parameters());
  return Run(*this, lengths, way, evaluate).go();
}

GRAFT_INLINE void Trainer::take_data(const std::string& fingerprint) {
  if (resumed_from_ && data_ != fingerprint) {
    throw StateError(
        "the checkpoint that this run was taken up from is of other data: texts or labels have changed since; "
        "start a run of its own, with another directory for its checkpoints");
  }
  data_ = fingerprint;
}

GRAFT_INLINE void Trainer::save(const std::filesystem::path& path) const {
  Checkpoint checkpoint;
  checkpoint.state = detail::position_json(position_);
  checkpoint.state.update({{"seed", options_.seed},
                           {"frozen", FrozenGuard(module_).hash()},
                           {"settings", detail::run_settings(options_)},
                           {"length", detail::counted(options_.length)},
                           {"fingerprint_of_data", data_},
                           {"graft", GRAFT_VERSION},
                           {"libtorch", TORCH_VERSION},
                           {"threads", torch::get_num_threads()}});
  checkpoint.tensors["module"] = detail::changing_tensors(module_);
  checkpoint.tensors["optimizer"] = optimizer_->state();
  if (!best_.empty()) checkpoint.tensors["best"] = best_;
  save_checkpoint(path, checkpoint);
}

GRAFT_INLINE std::vector<std::string> Trainer::resume(const std::filesystem::path& path) {
  return resume(load_checkpoint(path), path.string());
}

GRAFT_INLINE std::vector<std::string> Trainer::resume(const Checkpoint& checkpoint, const std::string& where) {
  const JsonFields state(checkpoint.state, where);
  RunPosition position = detail::position_from(state);
  const auto part = [&](const char* name) {
    const auto found = checkpoint.tensors.find(name);
    return found == checkpoint.tensors.end() ? NamedTensors{} : found->second;
  };
  const NamedTensors module = part("module"), optimizer = part("optimizer"), best = part("best");
  const NamedTensors changing = detail::changing_tensors(module_);
  std::string faults = detail::listed("it", detail::misfits(changing, module)) +
                       detail::listed("its optimizer", optimizer_->misfits(optimizer));
  if (!best.empty()) faults += detail::listed("its best evaluation", detail::misfits(changing, best));
  if (state.text("frozen") != FrozenGuard(module_).hash()) faults += "; the frozen parameters are others";
  if (checkpoint.state.at("seed") != options_.seed) {
    faults += message("; its seed is ", checkpoint.state.at("seed"), ", not ", options_.seed);
  }
  const JsonFields then = state.object("settings");
  for (const auto& [name, now] : detail::run_settings(options_)) {
    const std::string was = then.text(name, "not set");
    if (was != now) faults += message("; ", name, " was ", was, " and is ", now);
  }
  if (options_.keep_best && position.best && best.empty()) faults += "; it was saved without keep_best";
  if (!faults.empty()) throw FormatError(quoted(where) + " does not fit this trainer" + faults);

  detail::copy_by_name(module, changing);
  optimizer_->load_state(optimizer);
  best_ = best;
  position_ = std::move(position);
  resumed_from_ = position_.step;
  data_ = state.text("fingerprint_of_data");

  std::vector<std::string> differences;
  const auto compare = [&](const char* name, const std::string& then, const std::string& now) {
    if (then != now) differences.push_back(message(name, " was ", then, " and is ", now, ": the bits may differ"));
  };
  if (const std::string length = detail::counted(options_.length); state.text("length") != length) {
    differences.push_back(message("the run was to be of ", state.text("length"), " and is of ", length,
                                  ": what the schedule makes of the steps to come is another"));
    position_.steps = 0;  // as many as the new length makes
  }
  compare("graft", state.text("graft"), GRAFT_VERSION);
  compare("LibTorch", state.text("libtorch"), TORCH_VERSION);
  compare("the number of threads", std::to_string(state.integer("threads", 1, 1 << 20)),
          std::to_string(torch::get_num_threads()));
  return differences;
}

}  // namespace graft
