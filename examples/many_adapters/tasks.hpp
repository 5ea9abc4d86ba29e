#pragma once

// Tasks that share one frozen encoder: each has an adapter, a head, an optimizer and a schedule of its own.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../bert_finetune/classifier.hpp"
#include "graft/adapters/lora.hpp"
#include "graft/text/tokenizer.hpp"
#include "graft/training/labelled_texts.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/sampler.hpp"
#include "graft/training/schedule.hpp"

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
  bool overwrite = false;  ///< what an earlier run wrote
};

/// One task on an encoder that others may share.
class Task {
 public:
  /// What the encoder's files lack stays as it was drawn, since it is of all tasks, and is saved with each adapter.
  /// What the texts look like is said on standard output.
  Task(const TaskOptions& task, const TrainingOptions& options, const graft::Pretrained<graft::BertModel>& encoder,
       const graft::Tokenizer& tokenizer);

  const std::string& name() const { return name_; }
  Classifier& model() { return model_; }
  const graft::LabelledTexts& train() const { return *train_; }
  const graft::LabelledTexts& dev() const { return *dev_; }
  std::int64_t steps() const { return static_cast<std::int64_t>(batches_.size()); }

  const std::vector<std::int64_t>& rows_of(std::int64_t step) const { return batches_[static_cast<std::size_t>(step)]; }

  /// The mean loss of a step's rows, from what the encoder gave for them [N, D].
  torch::Tensor loss(const torch::Tensor& features, std::int64_t step);

  /// Clips the task's own gradients and takes its step.
  void update(std::int64_t step);

  /// Saves the adapter, reads it back and asks it the dev texts.
  void save(const std::filesystem::path& out, const std::string& base, bool overwrite);

  graft::NamedTensors trained() const { return optimizer_->parameters(); }

 private:
  std::string name_;
  std::optional<graft::LabelledTexts> train_, dev_;
  Classifier model_{nullptr};
  std::vector<std::string> heads_;
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
bool train_together(std::vector<std::unique_ptr<Task>>& tasks, graft::BertModel& encoder,
                    const std::function<bool(const StepReport&)>& go_on);

/// Share of the dev texts that the task's model gets right.
double accuracy(Task& task);
