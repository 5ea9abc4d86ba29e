// Trains many LoRA adapters at once over one frozen BERT, each with its own texts, labels, head and learning rate, and
// saves each as a directory that PEFT opens.
//
//   many_adapters --model DIR --task mood=mood.tsv,mood-dev.tsv --task topic=topic.tsv,topic-dev.tsv,5e-4 --out DIR

#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>

#include <ATen/Parallel.h>

#include "cli.hpp"
#include "graft/core/output.hpp"
#include "graft/models/load.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/training/interrupt.hpp"
#include "graft/training/progress.hpp"
#include "graft/version.hpp"
#include "tasks.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using Tasks = std::vector<std::unique_ptr<Task>>;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// "NAME=TRAIN,DEV" or "NAME=TRAIN,DEV,LR".
TaskOptions parse_task(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::size_t first = text.find(',', equals == std::string::npos ? 0 : equals);
  const std::size_t second = first == std::string::npos ? first : text.find(',', first + 1);
  if (equals == std::string::npos || equals == 0 || first == std::string::npos) {
    throw graft::OptionError(
        graft::message("--task is ", graft::quoted(text), "; write NAME=TRAIN,DEV or NAME=TRAIN,DEV,LR"));
  }
  TaskOptions task{text.substr(0, equals), text.substr(equals + 1, first - equals - 1),
                   text.substr(first + 1, second == std::string::npos ? second : second - first - 1)};
  if (second != std::string::npos) {
    const auto [end, error] = std::from_chars(text.data() + second + 1, text.data() + text.size(), task.lr);
    if (error != std::errc() || end != text.data() + text.size() || !(task.lr > 0)) {
      throw graft::OptionError(
          graft::message("--task is ", graft::quoted(text), "; its learning rate must be a number above 0"));
    }
  }
  return task;
}

/// The base, without dropout: its weights are frozen, and each task then trains as it would alone.
graft::Pretrained<graft::BertModel> load_base(const std::string& directory, std::uint64_t seed) {
  torch::manual_seed(seed);  // of what the files lack
  const graft::ModelDir files(directory);
  graft::BertConfig config = graft::load_config<graft::BertModel>(files);
  config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0;
  config.classifier_dropout = 0.0;
  return graft::load_pretrained<graft::BertModel>(files, config);
}

/// Trains with a progress bar; the seconds it took, or nothing if it was interrupted.
std::optional<double> train(const std::string& title, Tasks& tasks, graft::BertModel& encoder,
                            const graft::InterruptFlag& interrupt) {
  graft::ProgressBar bar(title);
  const auto start = Clock::now();
  auto last = start;
  std::int64_t steps = 0;
  const bool whole = train_together(tasks, encoder, [&](const StepReport& report) {
    if (steps == 0) bar.on_begin({.rows = 0, .epochs = 1, .steps = report.steps});
    steps = report.step;
    bar.on_step({.step = report.step,
                 .epoch = 1,
                 .loss = report.loss,
                 .tokens = report.tokens,
                 .seconds = seconds_since(last)});
    last = Clock::now();
    return !interrupt.flag();
  });
  const double seconds = seconds_since(start);
  bar.on_end({.reason = whole ? graft::StopReason::finished : graft::StopReason::interrupted,
              .steps = steps,
              .seconds = seconds});
  return whole ? std::optional(seconds) : std::nullopt;
}

/// The largest difference between the two tasks' parameters, over the largest of them.
double difference(const Task& a, const Task& b) {
  double largest = 0, size = 0;
  const auto left = a.trained(), right = b.trained();
  for (std::size_t i = 0; i < left.size(); ++i) {
    largest = std::max(largest, (left[i].second - right[i].second).abs().max().item<double>());
    size = std::max(size, right[i].second.abs().max().item<double>());
  }
  return largest / size;
}

int run(const std::string& model, const std::vector<std::string>& texts, const TrainingOptions& options,
        const std::filesystem::path& out, bool compare) {
  std::vector<TaskOptions> wanted;
  for (const std::string& text : texts) {
    wanted.push_back(parse_task(text));
    for (std::size_t i = 0; i + 1 < wanted.size(); ++i) {
      if (wanted[i].name == wanted.back().name)
        throw graft::OptionError(
            graft::message("two tasks are called ", graft::quoted(wanted[i].name), "; give each a name of its own"));
    }
    if (out.empty()) continue;
    const TaskOptions& task = wanted.back();
    if (task.name.find('/') != std::string::npos || task.name.starts_with('.'))
      throw graft::OptionError(graft::message("the task ", graft::quoted(task.name),
                                              " cannot be a directory in --out; leave out \"/\" and a leading \".\""));
    graft::check_output_apart(out / task.name, {model, task.train, task.dev});
    graft::OutputDirectory(out / task.name, options.overwrite);  // now, not after training
  }
  const graft::InterruptFlag interrupt;
  const graft::Tokenizer tokenizer = graft::Tokenizer::load(model);
  graft::Pretrained<graft::BertModel> base = load_base(model, options.seed);
  for (const std::string& name : base.report.lacking)
    std::printf("not in %s, drawn once, kept so and saved with each adapter: %s\n", model.c_str(), name.c_str());
  Tasks tasks;
  for (const TaskOptions& task : wanted) tasks.push_back(std::make_unique<Task>(task, options, base, tokenizer));

  const std::optional<double> together = train("together", tasks, base.model, interrupt);
  if (!together) {
    std::fputs("interrupted; nothing was saved\n", stderr);
    return 130;
  }
  std::printf("%-16s %10s %10s\n", "task", "texts", "accuracy");
  for (const auto& task : tasks) {
    std::printf("%-16s %10lld %10.4f\n", task->name().c_str(), static_cast<long long>(task->train().size()),
                accuracy(*task));
  }
  for (const auto& task : tasks) {
    if (!out.empty()) task->save(out / task->name(), model, options.overwrite);
  }
  std::printf("trained together in %.1f s\n", *together);
  if (!compare) return 0;

  double apart = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    graft::Pretrained<graft::BertModel> own_base = load_base(model, options.seed);
    Tasks one;
    one.push_back(std::make_unique<Task>(wanted[i], options, own_base, tokenizer));
    const std::optional<double> seconds = train(wanted[i].name, one, own_base.model, interrupt);
    if (!seconds) {
      std::fputs(out.empty() ? "interrupted; nothing was compared\n"
                             : "interrupted; the adapters are saved, they were not compared\n",
                 stderr);
      return 130;
    }
    apart += *seconds;
    std::printf("%-16s alone %6.1f s, accuracy %.4f, parameters differ by %.1e\n", wanted[i].name.c_str(), *seconds,
                accuracy(*one[0]), difference(*tasks[i], *one[0]));
  }
  std::printf("one after another in %.1f s: together is %.2f times as fast\n", apart, apart / *together);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  graft::keep_freed_memory();
  CLI::App app("Trains many LoRA adapters, each with a head of its own, in the same batches over one frozen BERT.");
  app.set_version_flag("--version", GRAFT_VERSION);
  app.get_formatter()->column_width(34);
  std::string model;
  std::vector<std::string> tasks;
  std::filesystem::path out;
  TrainingOptions options;
  bool compare = false;
  int threads = 0;
  app.add_option("--model", model, "Hugging Face directory of the pretrained model")->required();
  app.add_option("--task", tasks,
                 "NAME=TRAIN,DEV or NAME=TRAIN,DEV,LR: files with columns text and label; LR is 1e-3 unless given")
      ->required();
  app.add_option("--out", out, "where to save: a PEFT adapter directory for each task");
  app.add_flag("--overwrite", options.overwrite, "replace what an earlier run wrote there, nothing else");
  app.add_option("--epochs", options.epochs, "passes over the training texts")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "texts of each task in a step")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--rank", options.lora.rank, "rank of A and B")->check(whole_number(1))->capture_default_str();
  app.add_option("--alpha", options.lora.alpha, "the update is scaled by alpha / rank")
      ->check(number(0, 1e9))
      ->capture_default_str();
  app.add_option("--targets", options.targets, "layers by name, or all-linear")->delimiter(',')->capture_default_str();
  app.add_option("--max-length", options.max_length, "tokens of a text; longer ones are cut")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of the new heads and the order of texts")
      ->check(whole_number(0))
      ->capture_default_str();
  app.add_option("--threads", threads, "0: one for each core")->check(thread_count())->capture_default_str();
  app.add_flag("--compare", compare, "then train each task alone too, and print both times");
  return run_cli("many_adapters", app, argc, argv, [&] {
    if (threads > 0) at::set_num_threads(threads);
    return run(model, tasks, options, out, compare);
  });
}
