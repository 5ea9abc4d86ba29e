// lm_finetune train: rows of a file -> a language model that answers as they do, judged and saved.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "data.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/adapters/lora.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/console.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/core/report.hpp"
#include "graft/core/usage.hpp"
#include "graft/generation/look_at_examples.hpp"
#include "graft/models/plan_step.hpp"
#include "graft/models/save.hpp"
#include "graft/training/checkpoint.hpp"
#include "graft/training/interrupt.hpp"
#include "graft/training/log.hpp"
#include "graft/training/progress.hpp"
#include "graft/training/read_back.hpp"
#include "graft/training/tensorboard_log.hpp"
#include "graft/training/trainer.hpp"
#include "language.hpp"
#include "objective.hpp"
#include "options.hpp"
#include "resuming.hpp"
#include "samples.hpp"

namespace {

const char* name_of(Method method) { return method == Method::full ? "full" : "lora"; }

const char* name_of(PreferenceKind kind) {
  constexpr const char* names[] = {"dpo", "dpo-norm", "ipo"};
  return names[static_cast<std::size_t>(kind)];
}

torch::ScalarType dtype_of(const TrainOptions& options) {
  return options.dtype == "bfloat16" ? torch::kBFloat16 : torch::kFloat32;
}

/// Throws now what would be thrown after the training.
void check(const TrainOptions& options) {
  if (options.look_only) return;
  if (options.out.empty()) throw graft::OptionError("nothing would come of this run; give --out to save, or --look");
  if (options.method == Method::full && !options.language.adapter.empty())
    throw graft::OptionError(
        "--method full trains weights that an adapter is not part of; put it in first: "
        "lm_finetune export --merge DIR");
  const std::vector<std::filesystem::path> inputs{options.language.model, options.language.adapter, options.train,
                                                  options.dev};
  for (const std::string& output : {options.out, options.json, options.log, options.tensorboard, options.checkpoints})
    graft::check_output_apart(output, inputs);
  graft::check_output_apart(options.out, {options.json, options.log, options.tensorboard, options.checkpoints});
  graft::OutputDirectory(options.out, options.overwrite);
  if (!options.json.empty()) graft::check_report(options.json, options.overwrite);
  if (!options.checkpoints.empty()) graft::OutputDirectory(graft::checkpoint_path(options.checkpoints, 0));
}

/// What there is to learn from, as the model sees it.
void print_findings(const Rows& rows, const Language& language) {
  const graft::ConversationFile& file = rows.file;
  std::printf("form: %s\n", std::string(graft::to_string(file.form)).c_str());
  if (file.doubled > 0)
    std::printf("note: %ju rows say what an earlier one says\n", static_cast<std::uintmax_t>(file.doubled));
  if (file.skipped > 0) {
    std::printf("note: %ju bad rows are passed over\n", static_cast<std::uintmax_t>(file.skipped));
    for (const std::string& fault : file.faults) std::printf("  %s\n", fault.c_str());
  }
  const auto end = rows.texts ? language.text_end() : language.answer_end();
  const graft::ExampleFindings findings = rows.preferences
                                              ? graft::look_at_examples(*rows.preferences, language.tokenizer, end)
                                              : graft::look_at_examples(rows.learned(), language.tokenizer, end);
  std::fputs(findings.text().c_str(), stdout);
  const graft::LearnedTokens& shown = rows.preferences ? rows.preferences->chosen() : rows.learned();
  graft::ExampleMarks marks;
  if (isatty(STDOUT_FILENO) == 1) marks = {.begin = "\x1b[32m", .end = "\x1b[0m"};
  std::printf("%s, what is learned of it %s:\n%s\n", rows.preferences ? "the first chosen answer" : "the first row",
              marks.begin[0] == '\x1b' ? "green" : "in marks",
              graft::marked_example(shown, 0, language.tokenizer, marks).c_str());
  std::fflush(stdout);
}

/// What a step will take at its peak, by the batch of the longest rows.
std::int64_t planned_bytes(const TrainOptions& options, const Rows& rows, const graft::CausalConfig& config) {
  const auto longest = [&](const auto& data, std::int64_t count) {
    std::vector<std::int64_t> lengths;
    for (std::int64_t row = 0; row < data.size(); ++row) lengths.push_back(data.length(row));
    std::sort(lengths.rbegin(), lengths.rend());
    lengths.resize(static_cast<std::size_t>(std::min(data.size(), count)));
    return lengths;
  };
  graft::CausalStep step{.checkpoints_layers = options.checkpoint_layers};
  if (rows.preferences) {
    step.lengths = longest(rows.preferences->chosen(), options.batch_size);
    const std::vector<std::int64_t> more = longest(rows.preferences->rejected(), options.batch_size);
    step.lengths.insert(step.lengths.end(), more.begin(), more.end());
  } else {
    step.lengths = longest(rows.learned(), options.batch_size);
  }
  graft::PlanOptions plan;
  if (options.method == Method::lora) {
    plan.adapter = graft::LoraOptions{.rank = options.rank, .alpha = options.alpha, .dropout = options.dropout};
    plan.targets.layers = options.targets;
  }
  if (options.dtype == "bfloat16") plan.weight_bytes = plan.gradient_bytes = plan.factor_bytes = 2;
  return graft::plan_step(config, plan, step).bytes();
}

double learning_rate(const TrainOptions& options, bool preferences) {
  const double usual = options.method == Method::full ? 5e-5 : 5e-4;
  return options.lr.value_or(preferences ? usual / 10 : usual);
}

graft::TrainerOptions trainer_options(const TrainOptions& options, bool preferences, const std::string& base,
                                      const graft::InterruptFlag& interrupt) {
  graft::TrainerOptions trainer;
  trainer.length = graft::Epochs{options.epochs};
  trainer.batch = graft::Sequences{options.batch_size};
  trainer.accumulate = options.accumulate;
  trainer.lr = learning_rate(options, preferences);
  trainer.warmup = graft::Share{options.warmup};
  trainer.weight_decay = options.weight_decay;
  trainer.keep_best = !options.dev.empty();
  if (options.evaluate_every) trainer.evaluate_every = graft::Steps{*options.evaluate_every};
  trainer.seed = options.seed;
  trainer.stop = &interrupt.flag();
  trainer.identity = {{"the base's weights", base},
                      {"--dtype", options.dtype},
                      {"--method", name_of(options.method)},
                      {"--learn", options.learn},
                      {"--max-length", std::to_string(options.max_length)}};
  if (options.method == Method::lora)
    trainer.identity.insert({{"--rank", std::to_string(options.rank)},
                             {"--alpha", graft::message(options.alpha)},
                             {"--dropout", graft::message(options.dropout)},
                             {"--targets", graft::joined(options.targets, ",")}});
  if (preferences)
    trainer.identity.insert({{"--preference", name_of(options.preference)},
                             {"--beta", graft::message(options.beta)},
                             {"--label-smoothing", graft::message(options.label_smoothing)},
                             {"--sft-weight", graft::message(options.sft_weight)}});
  if (!options.checkpoints.empty()) trainer.checkpoints = graft::CheckpointOptions{.directory = options.checkpoints};
  return trainer;
}

/// Leaves requiring gradients what the method trains.
void prepare(const TrainOptions& options, Language& language, bool preferences) {
  if (options.method == Method::full) return;
  if (!options.language.adapter.empty()) {
    if (!preferences) return;
    graft::load_language_adapter(options.language.adapter, language.model, options.language.model, reference_name);
    graft::choose(*language.model, "default");
    graft::train_only(*language.model, {"default"});
    return;
  }
  const graft::LoraOptions lora{.rank = options.rank, .alpha = options.alpha, .dropout = options.dropout};
  std::fputs(graft::attach(*language.model, lora, {.layers = options.targets}).table().c_str(), stdout);
}

/// Saves, reads back, and compares.
void save(const TrainOptions& options, Language& language, const Rows& rows) {
  const bool full = options.method == Method::full;
  if (full)
    graft::save_pretrained(options.out, language.model,
                           {.tokenizer_from = options.language.model, .replace = options.overwrite});
  else
    graft::save_adapter(options.out, *language.model, "default",
                        {.base_model = options.language.model,
                         .task_type = "CAUSAL_LM",
                         .data = rows.fingerprint(),
                         .replace = options.overwrite});
  LanguageOptions again = options.language;
  if (full) again.model = options.out;
  again.adapter = full ? "" : options.out;
  Language saved = load_language(again, {.dtype = dtype_of(options)});
  const auto compare = [&](const auto& data) {
    return graft::check_read_back(language.model, saved.model, data, options.out, /*count=*/4);
  };
  const std::int64_t asked = rows.preferences ? compare(*rows.preferences) : compare(rows.learned());
  std::printf("written: %s; read back, it gives the same logits to %lld rows\n", options.out.c_str(),
              static_cast<long long>(asked));
}

}  // namespace

int run_train(const TrainOptions& options) {
  check(options);
  const graft::InterruptFlag interrupt;
  graft::ConversationFile train_file =
      graft::read_conversations(options.train, {.skip_bad_rows = options.skip_bad_rows});
  const bool preferences = train_file.form == graft::ConversationForm::preference;
  if (preferences && options.method == Method::full)
    throw graft::OptionError(
        "preferences are measured from the model as it was, which --method full overwrites; use lora");
  std::optional<graft::ConversationFile> dev_file;
  if (!options.dev.empty()) {
    dev_file = graft::read_conversations(options.dev, {.skip_bad_rows = options.skip_bad_rows});
    if ((dev_file->form == graft::ConversationForm::preference) != preferences)
      throw graft::OptionError(graft::message(options.dev, " is of the form ", graft::to_string(dev_file->form),
                                              ", but ", options.train, " of the form ",
                                              graft::to_string(train_file.form)));
  }
  Language language = load_language(options.language, {.dtype = dtype_of(options)});
  const auto context = static_cast<std::size_t>(language.model->config().max_position_embeddings);
  const RowsOptions encoding{options.learn, std::min(options.max_length, context), options.overlap};
  const Rows rows = encode_rows(std::move(train_file), language, encoding);
  std::optional<Rows> dev;
  if (dev_file) dev = encode_rows(*std::move(dev_file), language, encoding);
  graft::check_ids(rows.preferences ? rows.preferences->chosen() : rows.learned(), language.model->config().vocab_size);
  print_findings(rows, language);

  torch::manual_seed(options.seed);
  const std::string base = weights_of(*language.model);
  prepare(options, language, preferences);
  language.model->checkpoint_layers(options.checkpoint_layers);
  const graft::ParameterCount parameters = graft::count_parameters(*language.model).all;
  const std::int64_t planned = planned_bytes(options, rows, language.model->config());
  std::printf("%s of %s parameters are trained; about %.1f GB of memory, if all of the longest rows come together\n",
              graft::grouped_digits(parameters.trained).c_str(), graft::grouped_digits(parameters.total()).c_str(),
              static_cast<double>(planned) / 1e9);
  std::fflush(stdout);
  Objective objective(options, language.model);
  language.model->train();
  const double pass =
      rows.preferences ? objective.seconds_of_pass(*rows.preferences) : objective.seconds_of_pass(rows.learned());
  std::printf("about %s for %lld passes over the rows, evaluations not counted\n",
              graft::clock_text(pass * static_cast<double>(options.epochs)).c_str(),
              static_cast<long long>(options.epochs));
  std::fflush(stdout);
  if (options.look_only) return 0;

  graft::Trainer trainer(*language.model, trainer_options(options, preferences, base, interrupt));
  trainer.add(std::make_shared<graft::ProgressBar>(preferences ? name_of(options.preference) : name_of(options.method),
                                                   stderr,
                                                   graft::ProgressDetails{.learned = !preferences, .memory = true}));
  if (!options.log.empty()) trainer.add(std::make_shared<graft::JsonlLog>(options.log));
  if (!options.tensorboard.empty()) trainer.add(std::make_shared<graft::TensorBoardLog>(options.tensorboard));
  if (dev && !dev->texts && language.format) {
    std::vector<Asked> questions = asked(dev->file);
    questions.resize(std::min(questions.size(), static_cast<std::size_t>(options.samples)));
    trainer.add(std::make_shared<SampleAnswers>(language, std::move(questions)));
  }
  if (!options.checkpoints.empty()) go_on_from_checkpoint(trainer, options.checkpoints);

  const auto train = [&](const auto& data, const auto* held_out) {
    const auto loss = [&](const auto& batch) { return objective.loss(batch); };
    const auto judge = [&] { return objective.judge(*held_out); };
    return trainer.train(data, loss, held_out ? std::function<graft::Scores()>(judge) : nullptr);
  };
  const graft::TrainingResult result = preferences ? train(*rows.preferences, dev ? &*dev->preferences : nullptr)
                                                   : train(rows.learned(), dev ? &dev->learned() : nullptr);
  if (result.reason == graft::StopReason::interrupted) {
    std::fprintf(stderr, "stopped after step %lld; nothing was saved%s\n", static_cast<long long>(result.steps),
                 options.checkpoints.empty() ? "" : " but the checkpoint, from which the same command goes on");
    return 130;
  }
  language.model->eval();
  const std::int64_t peak = graft::peak_memory_bytes();  // of the training: reading back holds two models
  save(options, language, rows);
  if (!options.json.empty()) {
    graft::Json figures = {{"method", preferences ? name_of(options.preference) : name_of(options.method)},
                           {"trained_parameters", parameters.trained},
                           {"total_parameters", parameters.total()},
                           {"seed", options.seed},
                           {"epochs", options.epochs},
                           {"steps", result.steps},
                           {"train_loss", result.loss},
                           {"tokens", result.tokens},
                           {"seconds", result.training_seconds},
                           {"tokens_per_second", static_cast<double>(result.tokens) / result.training_seconds},
                           {"planned_bytes", planned},
                           {"peak_rss_bytes", peak},
                           {"saved_bytes", graft::bytes_on_disk(options.out, ".safetensors")}};
    if (result.best) figures["best"] = {{"step", result.best->step}, {"scores", result.best->scores}};
    if (result.last) figures["last"] = {{"step", result.last->step}, {"scores", result.last->scores}};
    graft::write_report(options.json, std::move(figures), options.overwrite);
  }
  return 0;
}
