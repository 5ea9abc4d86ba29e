#include "tasks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/labels.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/adapters/selection.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/training/loss.hpp"

Task::Task(const TaskOptions& task, const TrainingOptions& options, const graft::Pretrained<graft::BertModel>& encoder,
           const graft::Tokenizer& tokenizer)
    : name_(task.name) {
  const std::vector<graft::LabelledText> rows = graft::read_labelled(task.train);
  const graft::LabelFindings findings = graft::look_at_labels(rows);
  findings.check(task.train);
  for (const std::string& note : findings.notes) std::printf("note: %s: %s\n", task.name.c_str(), note.c_str());
  const std::vector<std::string> labels = graft::distinct_labels(rows);
  train_.emplace(rows, labels, tokenizer, options.max_length);
  if (train_->cut() > 0)
    std::printf("note: %s: %lld of %lld texts are cut to %zu tokens; see --max-length\n", task.name.c_str(),
                static_cast<long long>(train_->cut()), static_cast<long long>(train_->size()), options.max_length);
  dev_.emplace(graft::read_labelled(task.dev), labels, tokenizer, options.max_length);
  // What is random here depends on the task's name alone, not on who else is trained.
  const std::uint64_t seed = options.seed ^ graft::fingerprint(std::string_view(name_));
  torch::manual_seed(seed);
  model_ = Classifier(encoder.model, labels);
  graft::Targets targets{.layers = options.targets};
  for (const std::string& name : encoder.report.lacking)
    targets.drawn.push_back(model_->config().base_name() + "." + name);
  heads_ = graft::attach(*model_, options.lora, targets, name_).heads;
  auto parameters = encoder.model->named_parameters();
  for (const std::string& name : encoder.report.lacking) parameters[name].set_requires_grad(false);
  optimizer_ = std::make_unique<graft::AdamW>(graft::decay_groups(*model_, task.lr, 0.0));
  std::vector<std::int64_t> lengths;
  for (std::int64_t row = 0; row < train_->size(); ++row) lengths.push_back(train_->length(row));
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const graft::Batches batches = graft::GroupedByLength{}(
        lengths, graft::Sequences{options.batch_size}, graft::derived_seed(seed, static_cast<std::uint64_t>(epoch)));
    batches_.insert(batches_.end(), batches.begin(), batches.end());
  }
  span_ = {.warmup = steps() / 16, .total = steps()};
}

torch::Tensor Task::loss(const torch::Tensor& features, std::int64_t step) {
  std::vector<std::int64_t> wanted;
  for (const std::int64_t row : rows_of(step)) wanted.push_back(train_->classes()[static_cast<std::size_t>(row)]);
  return graft::cross_entropy(model_->classify(features), torch::tensor(wanted)).mean();
}

void Task::save(const std::filesystem::path& out, const std::string& base, bool overwrite) {
  graft::choose(*model_, name_);
  graft::save_adapter(out, *model_, name_,
                      {.base_model = base,
                       .task_type = "SEQ_CLS",
                       .heads = heads_,
                       .data = train_->fingerprint(),
                       .metadata = graft::labels_metadata(train_->labels()),
                       .replace = overwrite});
  check_saved(model_, base, out.string(), "float32", *dev_);
}

void Task::update(std::int64_t step) {
  const auto scale = graft::gradient_scale(optimizer_->parameters(), 1.0, /*clip_norm=*/1.0);
  if (!std::isfinite(scale.norm.item<double>())) {
    throw graft::TrainingError(
        graft::message("task ", name_, ": gradients are not finite in step ", step, "; lower its learning rate"));
  }
  optimizer_->step(graft::LinearDecay{}(step, span_), scale.divisor);
  optimizer_->zero_grad();
}

bool train_together(std::vector<std::unique_ptr<Task>>& tasks, graft::BertModel& encoder,
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

double accuracy(Task& task) {
  graft::choose(*task.model(), task.name());
  return graft::judge(task.model(), task.dev()).accuracy();
}
