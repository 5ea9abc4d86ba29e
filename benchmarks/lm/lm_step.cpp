// Times training steps of a language model and says what memory they took, so that anything else can be measured beside
// it. A line of JSON for each step, and one at the end.
//
//   lm_step --model FILE.gguf --method lora --batch 1 --tokens 4096 --checkpointing
//
// Batches are made up, two of them in turn: token t of batch b, counted over the whole batch, has the id
// 1000 + 7919 * (t + 104729 * b) mod (vocabulary - 1000). With --uneven sequence n of a batch has
// tokens * (1 + 5 n mod 8) / 8 of them. Every token is learned; under dpo the first quarter of a sequence is its
// prompt, and each pair is two such sequences, of which the first half of the batch is the better one.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/json.hpp"
#include "graft/core/usage.hpp"
#include "graft/models/gguf.hpp"
#include "graft/models/load.hpp"
#include "graft/models/plan_step.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/preference_loss.hpp"

namespace {

struct Options {
  std::string model, adapter, method = "lora", dtype = "float32", linear_dtype;
  std::int64_t batch = 4, tokens = 512, rank = 8;
  int steps = 5, warmup = 1, threads = 0;
  double dropout = 0.0, lr = 1e-4;
  bool uneven = false, checkpointing = false, whole_logits = false, keep_freed = false, paced = false;
};

struct Batch {
  graft::PackedBatch tokens;
  torch::Tensor labels;
};

Batch made_up(const Options& options, std::int64_t vocabulary, std::int64_t number) {
  const std::int64_t sequences = options.method == "dpo" ? 2 * options.batch : options.batch;
  std::vector<std::vector<std::int32_t>> ids(static_cast<std::size_t>(sequences));
  std::vector<std::int64_t> labels;
  std::int64_t t = 104729 * number, n = 0;
  for (auto& sequence : ids) {
    const std::int64_t place = n++ % options.batch;
    const std::int64_t length =
        std::max<std::int64_t>(options.uneven ? options.tokens * (1 + 5 * place % 8) / 8 : options.tokens, 8);
    for (std::int64_t i = 0; i < length; ++i, ++t) {
      const std::int64_t id = 1000 + 7919 * t % (vocabulary - 1000);
      sequence.push_back(static_cast<std::int32_t>(id));
      labels.push_back(options.method == "dpo" && i < length / 4 ? -100 : id);
    }
  }
  return {graft::pack(ids), torch::tensor(labels, torch::kInt64)};
}

graft::CausalLM load(const Options& options) {
  graft::PretrainedOptions how{.dtype = options.dtype == "bfloat16" ? torch::kBFloat16 : torch::kFloat32};
  if (options.linear_dtype == "bfloat16") how.linear_dtype = torch::kBFloat16;
  graft::CausalLM model = std::filesystem::is_directory(options.model)
                              ? graft::load_pretrained<graft::CausalLM>(options.model, how).model
                              : graft::load_gguf(options.model, how).model;
  torch::manual_seed(0);
  if (!options.adapter.empty()) {
    graft::load_adapter(options.adapter, *model);
  } else if (options.method != "full") {
    graft::attach(*model, {.rank = options.rank, .alpha = 16.0, .dropout = options.dropout},
                  {.layers = {"all-linear"}});
  }
  if (options.method != "full") graft::train_only(*model, graft::adapters(*model));
  model->checkpoint_layers(options.checkpointing);
  model->train();
  return model;
}

graft::Loss loss_of(const Options& options, graft::CausalLM& model, const Batch& batch) {
  if (options.method == "dpo") {
    const auto scores = [&] {
      const auto [values, offsets] = model->log_probabilities(batch.tokens, batch.labels);
      return graft::sequence_log_probabilities(values, offsets);
    };
    const graft::SequenceLogProbabilities reference = graft::reference_log_probabilities(*model, scores);
    return graft::dpo_loss(scores(), reference).loss;
  }
  if (options.whole_logits) {
    const auto [logits, targets] = model->predictions(batch.tokens, batch.labels);
    return graft::cross_entropy(logits.to(torch::kFloat32), targets);
  }
  return graft::negative_log_likelihood(model->log_probabilities(batch.tokens, batch.labels).values);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2.0;
}

/// What the steps were said to take before they were made.
graft::Plan planned(const Options& options, const graft::CausalLM& model, const Batch& batch) {
  graft::CausalStep step{.predicted = batch.labels.ne(-100).sum().item<std::int64_t>(),
                         .checkpoints_layers = options.checkpointing,
                         .whole_logits = options.whole_logits};
  const auto* ends = batch.tokens.offsets.const_data_ptr<std::int64_t>();
  for (std::int64_t n = 0; n < batch.tokens.sequences(); ++n) step.lengths.push_back(ends[n + 1] - ends[n]);
  graft::PlanOptions how{.targets = {.layers = {"all-linear"}}};
  if (options.dtype == "bfloat16") how.weight_bytes = how.gradient_bytes = 2;
  if (options.method != "full") how.adapter = graft::LoraOptions{.rank = options.rank};
  return graft::plan_step(model->config(), how, step);
}

void run(const Options& options) {
  graft::CausalLM model = load(options);
  const Batch batches[] = {made_up(options, model->config().vocab_size, 0),
                           made_up(options, model->config().vocab_size, 1)};
  graft::AdamW optimizer(graft::decay_groups(*model, options.lr, 0.01));
  const graft::NamedTensors trained = optimizer.parameters();
  const graft::Plan said = planned(options, model, batches[0]);

  std::vector<double> losses, times;
  for (int step = 0; step < options.warmup + options.steps; ++step) {
    if (std::string line; options.paced && !std::getline(std::cin, line)) break;
    const auto start = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    const graft::Loss loss = loss_of(options, model, batches[step % 2]);
    loss.sum.backward();
    optimizer.step(1.0, graft::gradient_scale(trained, loss.count, /*clip_norm=*/1.0).divisor);
    losses.push_back(loss.mean().item<double>());
    const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start;
    if (step >= options.warmup) times.push_back(ms.count());
    std::cout << graft::Json{{"step", step + 1},
                             {"ms", ms.count()},
                             {"loss", losses.back()},
                             {"peak_rss_bytes", graft::peak_memory_bytes()}}
              << std::endl;
  }
  if (times.empty()) return;
  const double typical = median(times);
  std::cout << graft::Json{{"median_ms", typical},
                           {"min_ms", *std::min_element(times.begin(), times.end())},
                           {"losses", losses},
                           {"peak_rss_bytes", graft::peak_memory_bytes()},
                           {"planned_bytes", said.bytes()},
                           {"planned_activation_bytes", said.activation_bytes},
                           {"trainable_parameters", graft::count_parameters(*model).all.trained},
                           {"tokens_per_second", 1e3 * static_cast<double>(batches[0].tokens.tokens()) / typical}}
            << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures training steps of a language model on made-up batches: forward, backward, clipping, AdamW.");
  app.get_formatter()->column_width(34);
  Options options;
  app.add_option("--model", options.model, "a GGUF file or a Hugging Face directory")->required();
  app.add_option("--adapter", options.adapter, "PEFT directory to start from; else a fresh LoRA on all linear layers");
  app.add_option("--method", options.method, "lora, full, or dpo with LoRA")
      ->check(CLI::IsMember({"lora", "full", "dpo"}))
      ->capture_default_str();
  app.add_option("--rank", options.rank, "of A and B")->capture_default_str();
  app.add_option("--batch", options.batch, "sequences in a step; dpo: pairs of them")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--tokens", options.tokens, "of a sequence")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--uneven", options.uneven, "sequences of an eighth of --tokens up to all of them");
  app.add_option("--dropout", options.dropout, "of LoRA")->capture_default_str();
  app.add_option("--dtype", options.dtype, "of the weights: float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--linear-dtype", options.linear_dtype, "of frozen linear weights beside it: bfloat16")
      ->check(CLI::IsMember({"bfloat16"}));
  app.add_flag("--checkpointing", options.checkpointing, "layers keep their inputs alone and run again in backward");
  app.add_flag("--whole-logits", options.whole_logits, "logits of the whole batch at once");
  app.add_flag("--keep-freed", options.keep_freed,
               "malloc keeps what is freed, which is faster and takes more memory; else it gives all of it back");
  app.add_option("--lr", options.lr, "learning rate")->capture_default_str();
  app.add_option("--steps", options.steps, "steps that are timed")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", options.warmup, "steps before those")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--threads", options.threads, "0: one for each core")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--paced", options.paced,
               "wait for a line on standard input before each step, so that another program can take turns");
  CLI11_PARSE(app, argc, argv);
  try {
    options.keep_freed ? graft::keep_freed_memory() : graft::give_back_freed_memory();
    if (options.threads > 0) at::set_num_threads(options.threads);
    run(options);
    return 0;
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "lm_step: %s\n", error.what_without_backtrace());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lm_step: %s\n", error.what());
  }
  return 1;
}
