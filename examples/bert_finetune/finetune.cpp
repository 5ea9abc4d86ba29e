// bert_finetune: labelled texts -> a model that classifies, judged and saved.

#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "classifier.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/labels.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/console.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/core/report.hpp"
#include "graft/core/usage.hpp"
#include "graft/models/save.hpp"
#include "graft/text/tokenizer.hpp"
#include "graft/training/checkpoint.hpp"
#include "graft/training/interrupt.hpp"
#include "graft/training/labelled_texts.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/trainer.hpp"
#include "options.hpp"
#include "resuming.hpp"

namespace {

const char* name_of(Method method) { return method == Method::full ? "full" : "lora"; }

/// Throws now what would be thrown after the training.
void check(const FinetuneOptions& options) {
  if (options.model.empty() || options.train.empty())
    throw graft::OptionError("--model and --train are needed; see --help");
  if (options.out.empty() && options.test.empty() && options.dev.empty())
    throw graft::OptionError("nothing would come of this run; give --out to save, --dev or --test to evaluate");
  const std::vector<std::filesystem::path> inputs{options.model, options.train, options.dev, options.test};
  for (const std::string& output : {options.out, options.json, options.checkpoints})
    graft::check_output_apart(output, inputs);
  graft::check_output_apart(options.out, {options.json, options.checkpoints});
  graft::check_output_apart(options.checkpoints, {options.json, options.out});
  if (!options.out.empty()) graft::OutputDirectory(options.out, options.overwrite);
  if (!options.json.empty()) graft::check_report(options.json, options.overwrite);
  if (!options.checkpoints.empty()) graft::OutputDirectory(graft::checkpoint_path(options.checkpoints, 0));
}

/// What the data looks like to the model, said before it is trained on.
void print_findings(const graft::LabelFindings& findings, const graft::LabelledTexts& train, std::size_t max_length) {
  for (const std::string& note : findings.notes) std::printf("note: %s\n", note.c_str());
  if (train.cut() > 0)
    std::printf("note: %lld of %lld texts are cut to %zu tokens; see --max-length\n",
                static_cast<long long>(train.cut()), static_cast<long long>(train.size()), max_length);
}

graft::TrainerOptions trainer_options(const FinetuneOptions& options, const std::string& base,
                                      const graft::InterruptFlag& interrupt) {
  graft::TrainerOptions trainer;
  trainer.length = graft::Epochs{options.epochs};
  trainer.batch = graft::Sequences{options.batch_size};
  trainer.lr = options.lr.value_or(options.method == Method::full ? 1e-4 : 1e-3);
  trainer.warmup = graft::Share{options.warmup};
  trainer.weight_decay = options.weight_decay;
  trainer.best_by = {.score = "accuracy", .higher_is_better = true};
  trainer.seed = options.seed;
  trainer.stop = &interrupt.flag();
  trainer.identity = {{"the base's weights", base},
                      {"--dtype", options.dtype},
                      {"--method", name_of(options.method)},
                      {"--max-length", std::to_string(options.max_length)}};
  if (options.method == Method::lora) {
    trainer.identity.insert({{"--rank", std::to_string(options.rank)},
                             {"--alpha", graft::message(options.alpha)},
                             {"--dropout", graft::message(options.dropout)},
                             {"--targets", graft::joined(options.targets, ",")}});
  }
  if (!options.checkpoints.empty()) trainer.checkpoints = graft::CheckpointOptions{.directory = options.checkpoints};
  return trainer;
}

void save(const FinetuneOptions& options, Classifier& model, const graft::LabelledTexts& train) {
  if (options.method == Method::full) {
    graft::save_pretrained(options.out, model, {.tokenizer_from = options.model, .replace = options.overwrite});
  } else {
    graft::save_adapter(options.out, *model, "default",
                        {.base_model = options.model,
                         .task_type = "SEQ_CLS",
                         .data = train.fingerprint(),
                         .metadata = graft::labels_metadata(train.labels()),
                         .replace = options.overwrite});
  }
}

}  // namespace

int run_finetune(const FinetuneOptions& options) {
  check(options);
  const graft::InterruptFlag interrupt;

  const auto read = [&](const std::string& path) {
    return graft::read_labelled(path, options.text_column, options.label_column);
  };
  const std::vector<graft::LabelledText> rows = read(options.train);
  const graft::LabelFindings findings = graft::look_at_labels(rows);
  findings.check(options.train);
  const std::vector<std::string> labels = graft::distinct_labels(rows);
  const graft::Tokenizer tokenizer = graft::Tokenizer::load(options.model);
  const auto encoded = [&](const std::string& path) -> std::optional<graft::LabelledTexts> {
    if (path.empty()) return std::nullopt;
    return graft::LabelledTexts(read(path), labels, tokenizer, options.max_length);
  };
  const graft::LabelledTexts train(rows, labels, tokenizer, options.max_length);
  const std::optional<graft::LabelledTexts> dev = encoded(options.dev), test = encoded(options.test);

  print_findings(findings, train, options.max_length);

  torch::manual_seed(options.seed);
  auto loaded = load_to_train(options.model, labels, options.dtype);
  auto& model = loaded.model;
  const std::string base = weights_of(*model);
  if (options.method == Method::lora) {
    const graft::LoraOptions lora{.rank = options.rank, .alpha = options.alpha, .dropout = options.dropout};
    std::fputs(graft::attach(*model, lora, {.layers = options.targets, .drawn = loaded.report.lacking}).table().c_str(),
               stdout);
  }
  const graft::ParameterCount parameters = graft::count_parameters(*model).all;
  std::printf("%zu rows, %zu classes; %s of %s parameters are trained\n", rows.size(), labels.size(),
              graft::grouped_digits(parameters.trained).c_str(), graft::grouped_digits(parameters.total()).c_str());
  std::fflush(stdout);

  graft::Trainer trainer(*model, trainer_options(options, base, interrupt));
  const char* method = name_of(options.method);
  trainer.add(std::make_shared<graft::ProgressBar>(method));
  if (!options.checkpoints.empty()) go_on_from_checkpoint(trainer, options.checkpoints);
  const auto scores = [&] {
    const graft::ConfusionMatrix judged = graft::judge(model, *dev);
    return graft::Scores{{"accuracy", judged.accuracy()}, {"macro_f1", judged.macro_f1()}};
  };
  const graft::TrainingResult result = trainer.train(
      train,
      [&](const graft::LabelledTexts::Batch& batch) {
        return graft::cross_entropy(model(batch.tokens).to(torch::kFloat32), batch.labels);
      },
      dev ? std::function<graft::Scores()>(scores) : nullptr);
  if (result.reason == graft::StopReason::interrupted) {
    std::fprintf(stderr, "stopped after step %lld; nothing was saved%s\n", static_cast<long long>(result.steps),
                 options.checkpoints.empty() ? "" : " but the checkpoint, from which the same command goes on");
    return 130;
  }

  graft::Json figures = {{"method", method},
                         {"trainable_parameters", parameters.trained},
                         {"total_parameters", parameters.total()},
                         {"seed", options.seed},
                         {"epochs", options.epochs},
                         {"steps", result.steps},
                         {"train_loss", result.loss},
                         {"seconds_per_epoch", result.training_seconds / static_cast<double>(options.epochs)},
                         {"tokens_per_second", static_cast<double>(result.tokens) / result.training_seconds}};
  if (result.last) figures["dev_accuracy"] = result.last->scores.at("accuracy");
  if (test) {
    const graft::ConfusionMatrix judged = graft::judge(model, *test);
    figures["test_accuracy"] = judged.accuracy();
    figures["test_macro_f1"] = judged.macro_f1();
    std::printf("test: accuracy %.4f, macro F1 %.4f, Matthews %.4f\n", judged.accuracy(), judged.macro_f1(),
                judged.matthews());
  }
  figures["peak_rss_bytes"] = graft::peak_memory_bytes();
  if (!options.out.empty()) {
    save(options, model, train);
    figures["saved_bytes"] = graft::bytes_on_disk(options.out, ".safetensors");
    const bool full = options.method == Method::full;
    check_saved(model, full ? options.out : options.model, full ? "" : options.out, options.dtype,
                test  ? *test
                : dev ? *dev
                      : train);
  }
  if (!options.json.empty()) graft::write_report(options.json, std::move(figures), options.overwrite);
  return 0;
}
