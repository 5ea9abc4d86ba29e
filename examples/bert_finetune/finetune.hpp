#pragma once

#include <sys/resource.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "data.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/console.hpp"
#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/models/save.hpp"
#include "graft/training/interrupt.hpp"
#include "graft/training/metrics.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/trainer.hpp"

using Classifier = graft::BertForSequenceClassification;

struct FinetuneOptions {
  std::string model, train, dev, test;  // --dev and --test may be empty
  std::string text_column = "text";
  std::string label_column = "label";
  std::string method = "full";
  std::string dtype = "float32";
  graft::LoraOptions lora = {.rank = 8, .alpha = 16.0, .dropout = 0.1};
  std::vector<std::string> targets = {"query", "value"};
  std::optional<double> lr;
  double warmup = 0.06;
  double weight_decay = 0.0;
  std::int64_t epochs = 2;
  std::int64_t batch_size = 32;
  std::size_t max_length = 128;
  std::uint64_t seed = 42;
  std::string out, json, checkpoints;
};

/// Of weights and activations. What is trained in bfloat16 has float32 masters in the optimizer.
inline torch::ScalarType scalar_type(const std::string& dtype) {
  return dtype == "bfloat16" ? torch::kBFloat16 : torch::kFloat32;
}

/// Scores of the model on labelled texts. Texts of like length go together.
inline graft::ConfusionMatrix judge(Classifier& model, const Examples& examples, std::int64_t classes) {
  const torch::NoGradGuard no_grad;
  const bool was_training = model->is_training();
  model->eval();
  graft::ConfusionMatrix matrix(classes);
  const std::vector<std::int64_t> rows = examples.by_length();
  constexpr std::size_t batch_size = 64;
  for (std::size_t first = 0; first < rows.size(); first += batch_size) {
    const auto chosen = std::span(rows).subspan(first, std::min(batch_size, rows.size() - first));
    const torch::Tensor best = model(examples.batch(chosen).tokens).argmax(1).contiguous();
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const std::int64_t truth = examples.labels()[chosen[i]];
      matrix.add({&truth, 1}, {best.const_data_ptr<std::int64_t>() + i, 1});
    }
  }
  model->train(was_training);
  return matrix;
}

inline std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * std::int64_t{1024};
}

/// Bytes of the weights in a directory.
inline std::int64_t saved_bytes(const std::filesystem::path& directory) {
  std::int64_t sum = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".safetensors") sum += static_cast<std::int64_t>(entry.file_size());
  }
  return sum;
}

// An adapter's config has no place for the names of the labels: they stand in its weights' metadata under this key.
inline constexpr const char* labels_key = "labels";

/// The labels of an adapter: as run_finetune() saved them, else numbers, as many as its head has rows.
inline std::vector<std::string> adapter_labels(const std::string& adapter) {
  const graft::AdapterDir files(adapter);
  const graft::TensorInfo* head = files.find("classifier.weight");
  if (!head) head = files.find("classifier.out_proj.weight");
  if (!head || head->shape.empty()) {
    throw graft::FormatError(graft::message(adapter, ": has no classifier head; was it trained to classify texts?"));
  }
  std::vector<std::string> labels;
  if (const auto found = files.metadata().find(labels_key); found != files.metadata().end()) {
    const graft::Json names = {{labels_key, graft::parse_json(found->second, adapter)}};
    labels = graft::JsonFields(names, adapter).texts(labels_key);
  } else {
    for (std::int64_t i = 0; i < std::min<std::int64_t>(head->shape[0], 1 << 16); ++i) {
      labels.push_back("LABEL_" + std::to_string(i));
    }
  }
  if (static_cast<std::int64_t>(labels.size()) != head->shape[0]) {
    throw graft::FormatError(
        graft::message(adapter, ": names ", labels.size(), " labels, its head has ", head->shape[0], " rows"));
  }
  return labels;
}

/// What a directory written by run_finetune() holds, as a classifier: a model, or a model and its adapter.
inline Classifier load_classifier(const std::string& model, const std::string& adapter, const std::string& dtype) {
  graft::PretrainedOptions options{.dtype = scalar_type(dtype)};
  if (!adapter.empty()) options.labels = adapter_labels(adapter);
  auto [classifier, report] = graft::load_pretrained<Classifier>(model, options);
  if (!adapter.empty()) {
    for (const std::string& warning : graft::load_adapter(adapter, *classifier).warnings) {
      std::fprintf(stderr, "warning: %s\n", warning.c_str());
    }
  } else if (!report.lacking.empty()) {
    throw graft::FormatError(graft::message(model, ": has no ", report.lacking.front(),
                                            "; it is a base model: fine-tune it first, or name an --adapter"));
  }
  classifier->eval();
  return classifier;
}

inline void save(const FinetuneOptions& options, Classifier& model, const Examples& train) {
  if (options.method == "full") {
    graft::save_pretrained(options.out, model, {.tokenizer_from = options.model, .replace = true});
  } else {
    graft::save_adapter(options.out, *model, "default",
                        {.base_model = options.model,
                         .task_type = "SEQ_CLS",
                         .data = train.fingerprint(),
                         .metadata = {{labels_key, graft::Json(model->config().labels).dump()}},
                         .replace = true});
  }
}

/// Reads what was saved and judges it on the same texts: what a user will load must be what was trained.
inline void check_saved(const FinetuneOptions& options, const Examples& examples, std::int64_t classes,
                        double accuracy) {
  Classifier saved = options.method == "full" ? load_classifier(options.out, "", options.dtype)
                                              : load_classifier(options.model, options.out, options.dtype);
  const double again = judge(saved, examples, classes).accuracy();
  if (again != accuracy) {
    throw graft::StateError(graft::message(options.out, ": read back, its accuracy is ", again, ", not ", accuracy));
  }
  std::printf("saved in %s, read back: accuracy %.4f again\n", options.out.c_str(), again);
}

/// Throws now what saving would throw after the training.
inline void check_places(const FinetuneOptions& options) {
  if (!options.out.empty()) {
    graft::OutputDirectory(options.out, options.method == "full" ? "config.json" : "adapter_config.json");
  }
  if (!options.json.empty()) graft::OutputFile(options.json);
}

inline graft::TrainerOptions trainer_options(const FinetuneOptions& options, const graft::InterruptFlag& interrupt) {
  graft::TrainerOptions trainer;
  trainer.length = graft::Epochs{options.epochs};
  trainer.batch = graft::Sequences{options.batch_size};
  trainer.lr = options.lr.value_or(options.method == "full" ? 1e-4 : 1e-3);
  trainer.warmup = graft::Share{options.warmup};
  trainer.weight_decay = options.weight_decay;
  trainer.best_by = {.score = "accuracy", .higher_is_better = true};
  trainer.seed = options.seed;
  trainer.stop = &interrupt.flag();
  if (!options.checkpoints.empty()) trainer.checkpoints = graft::CheckpointOptions{.directory = options.checkpoints};
  return trainer;
}

inline int run_finetune(const FinetuneOptions& options) {
  if (options.model.empty() || options.train.empty()) {
    throw graft::OptionError("--model and --train are needed; see --help");
  }
  if (options.out.empty() && options.test.empty() && options.dev.empty()) {
    throw graft::OptionError("nothing would come of this run; give --out to save, --dev or --test to evaluate");
  }
  check_places(options);
  const graft::InterruptFlag interrupt;

  const std::vector<LabelledText> rows = read_labelled(options.train, options.text_column, options.label_column);
  const std::vector<std::string> labels = distinct_labels(rows);
  const auto classes = static_cast<std::int64_t>(labels.size());
  if (classes < 2) {
    throw graft::FormatError(graft::message(options.train, ": every row has the label ", graft::quoted(labels[0]),
                                            "; a classifier needs two or more"));
  }
  const graft::Tokenizer tokenizer = graft::Tokenizer::load(options.model);
  const auto encoded = [&](const std::string& path) -> std::optional<Examples> {
    if (path.empty()) return std::nullopt;
    return Examples(read_labelled(path, options.text_column, options.label_column), labels, tokenizer,
                    options.max_length, path);
  };
  const Examples train(rows, labels, tokenizer, options.max_length, options.train);
  const std::optional<Examples> dev = encoded(options.dev);
  const std::optional<Examples> test = encoded(options.test);

  torch::manual_seed(options.seed);
  auto [model, report] =
      graft::load_pretrained<Classifier>(options.model, {.dtype = scalar_type(options.dtype), .labels = labels});
  for (const std::string& name : report.lacking)
    std::printf("not in %s, drawn afresh: %s\n", options.model.c_str(), name.c_str());
  if (options.method == "lora") {
    std::fputs(graft::attach(*model, options.lora, {.layers = options.targets}).table().c_str(), stdout);
  }
  const graft::ParameterCount parameters = graft::count_parameters(*model).all;
  std::printf("%zu rows, %lld classes; %s of %s parameters are trained\n", rows.size(), static_cast<long long>(classes),
              graft::grouped_digits(parameters.trained).c_str(), graft::grouped_digits(parameters.total()).c_str());
  std::fflush(stdout);

  graft::Trainer trainer(*model, trainer_options(options, interrupt));
  trainer.add(std::make_shared<graft::ProgressBar>(options.method));
  if (!options.checkpoints.empty()) {
    if (const auto found = graft::find_checkpoint(options.checkpoints)) {
      for (const std::string& difference : trainer.resume(found->checkpoint, found->path.string())) {
        std::printf("note: %s\n", difference.c_str());
      }
      std::printf("going on from step %lld\n", static_cast<long long>(trainer.steps_done()));
    }
  }
  std::function<graft::Scores()> evaluate;
  if (dev) {
    evaluate = [&] {
      const graft::ConfusionMatrix matrix = judge(model, *dev, classes);
      return graft::Scores{{"accuracy", matrix.accuracy()}, {"macro_f1", matrix.macro_f1()}};
    };
  }
  const graft::TrainingResult result = trainer.train(
      train,
      [&](const Examples::Batch& batch) {
        return graft::cross_entropy(model(batch.tokens).to(torch::kFloat32), batch.labels);
      },
      evaluate);
  if (result.reason == graft::StopReason::interrupted) {
    std::fprintf(stderr, "stopped after step %lld; nothing was saved%s\n", static_cast<long long>(result.steps),
                 options.checkpoints.empty() ? "" : " but the checkpoint, from which the same command goes on");
    return 130;
  }

  graft::Json figures = {{"method", options.method},
                         {"trainable_parameters", parameters.trained},
                         {"total_parameters", parameters.total()},
                         {"seed", options.seed},
                         {"epochs", options.epochs},
                         {"steps", result.steps},
                         {"train_loss", result.loss},
                         {"seconds_per_epoch", result.training_seconds / static_cast<double>(options.epochs)},
                         {"tokens_per_second", static_cast<double>(result.tokens) / result.training_seconds}};
  if (result.last) figures["dev_accuracy"] = result.last->scores.at("accuracy");
  double accuracy = 0.0;
  if (test) {
    const graft::ConfusionMatrix matrix = judge(model, *test, classes);
    accuracy = matrix.accuracy();
    figures["test_accuracy"] = accuracy;
    figures["test_macro_f1"] = matrix.macro_f1();
    std::printf("test: accuracy %.4f, macro F1 %.4f, Matthews %.4f\n", accuracy, matrix.macro_f1(), matrix.matthews());
  }
  figures["peak_rss_bytes"] = peak_rss_bytes();
  if (!options.out.empty()) {
    save(options, model, train);
    figures["saved_bytes"] = saved_bytes(options.out);
    if (test) check_saved(options, *test, classes, accuracy);
  }
  if (!options.json.empty()) graft::write_file(options.json, figures.dump(2) + "\n");
  return 0;
}
