// Times training steps of a BERT classifier, so that anything else can be timed beside it.
//
//   train_step --model DIR --method lora --targets query,value --batch 8 --seq 128 --dropout 0.1 --steps 10 --json
//
// Batches are made up, two of them in turn: token t of batch b, counted over the whole batch, has the id
// 1000 + 7919 * (t + 104729 * b) mod (vocabulary - 1000), and sequence n the label (n + b) mod 2.

#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>

#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/json.hpp"
#include "graft/core/usage.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/training/captured_step.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"
#include "peak.hpp"

namespace {

using Classifier = graft::BertForSequenceClassification;

struct Options {
  std::string model, adapter;
  std::string method = "lora", dtype = "float32", device = "cpu", backend;
  std::vector<std::string> targets = {"all-linear"};
  std::int64_t batch = 8, seq = 128, rank = 8;
  int steps = 10, warmup = 2, threads = 0;
  double dropout = 0.0, lr = 1e-4;
  std::uint64_t seed = 0;
  bool json = false, paced = false, peak = false, graph = false;
};

struct Batch {
  graft::PackedBatch tokens;
  torch::Tensor labels;
};

Batch made_up(const Options& options, std::int64_t vocabulary, std::int64_t number) {
  std::vector<std::vector<std::int32_t>> ids(static_cast<std::size_t>(options.batch));
  std::int64_t t = 104729 * number;
  for (auto& sequence : ids) {
    for (std::int64_t i = 0; i < options.seq; ++i, ++t) {
      sequence.push_back(static_cast<std::int32_t>(1000 + 7919 * t % (vocabulary - 1000)));
    }
  }
  return {graft::pack(ids), (torch::arange(options.batch) + number).remainder(2)};
}

Classifier load(const Options& options) {
  if (options.device == "cuda" && !torch::cuda::is_available())
    throw graft::OptionError("there is no CUDA device, or this is no build for one; make one by ./run build --cuda");
  const graft::ModelDir files(options.model);
  auto config = graft::load_config<Classifier>(files);
  config.hidden_dropout_prob = config.attention_probs_dropout_prob = options.dropout;
  config.classifier_dropout.reset();
  torch::manual_seed(options.seed);
  auto [model, report] = graft::load_pretrained<Classifier>(
      files, config, {.dtype = options.dtype == "bfloat16" ? torch::kBFloat16 : torch::kFloat32});
  if (options.method == "lora") {
    if (!options.adapter.empty()) {
      graft::load_adapter(options.adapter, *model);
    } else {
      graft::attach(*model, {.rank = options.rank, .alpha = 16.0, .dropout = options.dropout},
                    {.layers = options.targets});
    }
  }
  model->to(torch::Device(options.device));
  model->train();
  return model;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2.0;
}

/// Makes a step on a batch and gives its mean loss. With --graph the step is a CUDA graph.
std::function<double(const Batch&)> stepper(const Options& options, Classifier& model, graft::AdamW& optimizer) {
  const auto loss_of = [&model](const graft::PackedBatch& batch, const torch::Tensor& labels) {
    return graft::cross_entropy(model(batch).to(torch::kFloat32), labels);
  };
  constexpr double clip_norm = 1.0;
  if (options.graph) {
    const graft::TokenBudget budget{
        .tokens = options.batch * options.seq, .sequences = options.batch, .longest = options.seq};
    const auto captured = std::make_shared<graft::CapturedStep>(
        optimizer, graft::CapturedStepOptions{.budget = budget, .clip_norm = clip_norm}, loss_of);
    return [=](const Batch& batch) { return (*captured)(batch.tokens, batch.labels).item<double>(); };
  }
  const graft::NamedTensors trained = optimizer.parameters();
  const torch::Device device(options.device);
  return [=, &optimizer](const Batch& batch) {
    optimizer.zero_grad();
    const graft::Loss loss = loss_of(batch.tokens.to(device), batch.labels.to(device));
    loss.sum.backward();
    optimizer.step(1.0, graft::gradient_scale(trained, loss.count, clip_norm).divisor);
    return loss.mean().item<double>();
  };
}

void run(const Options& options) {
  Classifier model = load(options);
  const Batch batches[] = {made_up(options, model->config().vocab_size, 0),
                           made_up(options, model->config().vocab_size, 1)};
  graft::AdamW optimizer(graft::decay_groups(*model, options.lr, 0.01));
  const auto make_step = stepper(options, model, optimizer);

  std::vector<double> losses, times;
  for (int step = 0; step < options.warmup + options.steps; ++step) {
    if (std::string line; options.paced && !std::getline(std::cin, line)) break;
    const Batch& batch = batches[step % 2];
    const auto start = std::chrono::steady_clock::now();
    losses.push_back(make_step(batch));
    const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start;
    if (step >= options.warmup) times.push_back(ms.count());
    if (options.paced) {
      std::cout << graft::Json{{"ms", ms.count()}, {"loss", losses.back()}} << std::endl;
    } else if (!options.json) {
      std::printf("step %d: loss %.6f, %.1f ms\n", step + 1, losses.back(), ms.count());
    }
  }
  if (times.empty()) return;

  const double typical = median(times);
  graft::Json figures = {
      {"median_ms", typical},
      {"min_ms", *std::min_element(times.begin(), times.end())},
      {"losses", losses},
      {"peak_rss_bytes", graft::peak_memory_bytes()},
      {"trainable_parameters", graft::count_parameters(*model).all.trained},
      {"tokens_per_second", 1e3 * static_cast<double>(options.batch * options.seq) / typical},
  };
  if (graft::matrix_backend() == graft::MatrixBackend::measured)
    std::fputs(graft::matrix_backend_report().c_str(), stderr);
  if (options.peak) figures["peak_gflops"] = peak::gflops(at::get_num_threads());
  if (options.json) {
    std::cout << figures << std::endl;
  } else {
    std::cout << figures.dump(2) << std::endl;
  }
}

const std::map<std::string, graft::MatrixBackend> backends = {
    {"torch", graft::MatrixBackend::torch},
    {"onednn", graft::MatrixBackend::onednn},
    {"graft", graft::MatrixBackend::graft_float32_onednn_bfloat16},
    {"measured", graft::MatrixBackend::measured}};

}  // namespace

int main(int argc, char** argv) {
  graft::keep_freed_memory();
  CLI::App app("Times training steps of a BERT classifier on made-up batches: forward, backward, clipping, AdamW.");
  app.get_formatter()->column_width(34);
  Options options;
  app.add_option("--model", options.model, "Hugging Face directory of a BERT")->required();
  app.add_option("--adapter", options.adapter, "PEFT directory to start from; else a fresh adapter");
  app.add_option("--method", options.method, "lora or full")
      ->check(CLI::IsMember({"lora", "full"}))
      ->capture_default_str();
  app.add_option("--targets", options.targets, "LoRA: layers by name, or all-linear")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--rank", options.rank, "LoRA: rank of A and B")->capture_default_str();
  app.add_option("--batch", options.batch, "sequences in a step")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seq", options.seq, "tokens of a sequence")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--dropout", options.dropout, "of hidden states, attention and LoRA")->capture_default_str();
  app.add_option("--dtype", options.dtype, "of the weights: float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  app.add_option(
         "--backend", options.backend,
         "who multiplies matrices: torch, onednn, graft, or measured, which says what it found; else what suits the "
         "processor")
      ->check(CLI::IsMember(backends));
  app.add_option("--device", options.device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--lr", options.lr, "learning rate")->capture_default_str();
  app.add_option("--steps", options.steps, "steps that are timed")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", options.warmup, "steps before those")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--threads", options.threads, "0: one for each core")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of a fresh head, a fresh adapter and dropout")->capture_default_str();
  app.add_flag("--graph", options.graph,
               "on cuda: the step as a CUDA graph, recorded in the fourth step; take at least 4 for --warmup");
  app.add_flag("--json", options.json, "print one line: the figures as JSON");
  app.add_flag("--peak", options.peak, "measure the processor's float32 peak as well");
  app.add_flag("--paced", options.paced,
               "wait for a line on standard input before each step and answer with its time and loss, so that another "
               "program can take turns");
  CLI11_PARSE(app, argc, argv);
  try {
    if (options.threads > 0) at::set_num_threads(options.threads);
    if (!options.backend.empty()) graft::set_matrix_backend(backends.at(options.backend));
    run(options);
    return 0;
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "train_step: %s\n", error.what_without_backtrace());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_step: %s\n", error.what());
  }
  return 1;
}
