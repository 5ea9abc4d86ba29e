#pragma once

// Tasks that share one frozen encoder: each has an adapter, a head, an optimizer and a schedule of its own.

#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../bert_finetune/data.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/adapters/selection.hpp"
#include "graft/models/heads.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/sampler.hpp"
#include "graft/training/schedule.hpp"

using Classifier = graft::BertForSequenceClassification;

struct TaskOptions {
  std::string name;
  std::filesystem::path train, dev;
  double lr = 1e-3;
};

struct TrainingOptions {
  graft::LoraOptions lora = {.rank = 8, .alpha = 16.0};
  std::vector<std::string> targets = {"query", "value"};
  std::int64_t epochs = 1;
  std::int64_t batch_size = 8;  ///< rows of each task in a step
  std::size_t max_length = 64;
  std::uint64_t seed = 42;
};

/// One task on an encoder that others may share.
class Task {
 public:
  Task(const TaskOptions& task, const TrainingOptions& options, graft::BertModel encoder,
       const graft::Tokenizer& tokenizer)
      : name_(task.name),
        rows_(read_labelled(task.train, "text", "label")),
        labels_(distinct_labels(rows_)),
        train_(rows_, labels_, tokenizer, options.max_length, task.train),
        dev_(read_labelled(task.dev, "text", "label"), labels_, tokenizer, options.max_length, task.dev) {
    // What is random here depends on the task's name alone, not on who else is trained.
    const std::uint64_t seed = options.seed ^ graft::fingerprint(std::string_view(name_));
    torch::manual_seed(seed);
    model_ = Classifier(std::move(encoder), labels_);
    graft::attach(*model_, options.lora, {.layers = options.targets}, name_);
    optimizer_ = std::make_unique<graft::AdamW>(graft::decay_groups(*model_, task.lr, 0.0));
    std::vector<std::int64_t> lengths;
    for (std::int64_t row = 0; row < train_.size(); ++row) lengths.push_back(train_.length(row));
    for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
      const graft::Batches batches = graft::GroupedByLength{}(
          lengths, graft::Sequences{options.batch_size}, graft::derived_seed(seed, static_cast<std::uint64_t>(epoch)));
      batches_.insert(batches_.end(), batches.begin(), batches.end());
    }
    span_ = {.warmup = steps() / 16, .total = steps()};
  }

  const std::string& name() const { return name_; }
  Classifier& model() { return model_; }
  const Examples& dev() const { return dev_; }
  std::int64_t steps() const { return static_cast<std::int64_t>(batches_.size()); }

  const std::vector<std::int64_t>& rows_of(std::int64_t step) const { return batches_[static_cast<std::size_t>(step)]; }
  const Examples& train() const { return train_; }

  /// The mean loss of a step's rows, from what the encoder gave for them [N, D].
  torch::Tensor loss(const torch::Tensor& features, std::int64_t step) {
    std::vector<std::int64_t> wanted;
    for (const std::int64_t row : rows_of(step)) wanted.push_back(train_.labels()[static_cast<std::size_t>(row)]);
    return graft::cross_entropy(model_->classify(features), torch::tensor(wanted)).mean();
  }

  /// Clips the task's own gradients and takes its step.
  void update(std::int64_t step) {
    const auto scale = graft::gradient_scale(optimizer_->parameters(), 1.0, /*clip_norm=*/1.0);
    if (!std::isfinite(scale.norm.item<double>())) {
      throw graft::TrainingError(
          graft::message("task ", name_, ": gradients are not finite in step ", step, "; lower its learning rate"));
    }
    optimizer_->step(graft::LinearDecay{}(step, span_), scale.divisor);
    optimizer_->zero_grad();
  }

  graft::NamedTensors trained() const { return optimizer_->parameters(); }

 private:
  std::string name_;
  std::vector<LabelledText> rows_;
  std::vector<std::string> labels_;
  Examples train_, dev_;
  Classifier model_{nullptr};
  std::unique_ptr<graft::AdamW> optimizer_;
  graft::Batches batches_;
  graft::ScheduleSpan span_;
};

/// One step of a run.
struct StepReport {
  std::int64_t step, steps;  // done, and of the run
  double loss;               // the mean of the tasks'
  std::int64_t tokens;
};

/// Trains all tasks together: a step takes each task's next rows, runs the encoder once over all of them, every row
/// with its task's adapter, and gives each task its own loss, clipping and optimizer. `go_on` is told of each step;
/// false ends the run, and is returned.
inline bool train_together(std::vector<std::unique_ptr<Task>>& tasks, graft::BertModel& encoder,
                           const std::function<bool(const StepReport&)>& go_on) {
  std::vector<std::string> names;
  std::int64_t steps = 0;
  for (const auto& task : tasks) {
    names.push_back(task->name());
    steps = std::max(steps, task->steps());
    task->model()->train();
  }
  graft::train_only(*encoder, names);
  for (std::int64_t step = 0; step < steps; ++step) {
    std::vector<std::vector<std::int32_t>> ids;
    std::vector<std::string> adapters;
    for (const auto& task : tasks) {
      if (step >= task->steps()) continue;
      for (const std::int64_t row : task->rows_of(step)) {
        ids.push_back(task->train().ids(row));
        adapters.push_back(task->name());
      }
    }
    const graft::PackedBatch batch = graft::pack(ids);
    torch::Tensor features;
    {
      const graft::AdapterSelection selection(*encoder, batch.offsets, adapters);
      const graft::AdapterScope scope(selection);
      features = tasks.front()->model()->features(batch);
    }
    torch::Tensor loss;
    std::int64_t first = 0, heads = 0;
    for (const auto& task : tasks) {
      if (step >= task->steps()) continue;
      const auto count = static_cast<std::int64_t>(task->rows_of(step).size());
      const torch::Tensor own = task->loss(features.narrow(0, first, count), step);
      loss = loss.defined() ? loss + own : own;
      first += count;
      ++heads;
    }
    loss.backward();
    for (const auto& task : tasks) {
      if (step < task->steps()) task->update(step);
    }
    if (!go_on({step + 1, steps, loss.item<double>() / static_cast<double>(heads), batch.tokens()})) return false;
  }
  return true;
}

/// Share of the dev texts that the task's model gets right.
inline double accuracy(Task& task) {
  const torch::NoGradGuard no_grad;
  graft::choose(*task.model(), task.name());
  task.model()->eval();
  const std::vector<std::int64_t> rows = task.dev().by_length();
  std::int64_t right = 0;
  for (std::size_t first = 0; first < rows.size(); first += 64) {
    const auto chosen = std::span(rows).subspan(first, std::min<std::size_t>(64, rows.size() - first));
    const Examples::Batch batch = task.dev().batch(chosen);
    right += task.model()->forward(batch.tokens).argmax(1).eq(batch.labels).sum().item<std::int64_t>();
  }
  return static_cast<double>(right) / static_cast<double>(std::max<std::size_t>(rows.size(), 1));
}
