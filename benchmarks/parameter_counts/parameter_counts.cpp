// What full fine-tuning and LoRA train, keep and save, for four models, five ranks and three sets of targets; and for
// the two small models what a training step takes. Counters: trained and total parameters, the trained share in
// percent, bytes of optimizer state and of the saved file.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <torch/nn/functional/loss.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/plan.hpp"
#include "graft/models/heads.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/training/optimizer.hpp"

namespace {

struct Case {
  std::string model;
  std::string targets = {};  // empty: trained in full
  std::int64_t rank = 0;
};

graft::BertConfig bert_config(const std::string& model) {
  if (model == "BERT-large") {
    return {{.hidden_size = 1024, .num_hidden_layers = 24, .num_attention_heads = 16, .intermediate_size = 4096}};
  }
  if (model == "MiniLM") return {{.hidden_size = 384, .num_hidden_layers = 6, .intermediate_size = 1536}};
  return {};
}

graft::ModelShape shape_of(const std::string& model) {
  return model == "GPT-3" ? graft::gpt_shape() : graft::bert_shape(bert_config(model), 2);
}

graft::Targets targets_of(const Case& c) {
  const bool gpt = c.model == "GPT-3";
  if (c.targets == "query+value") {
    return {.layers = gpt ? std::vector<std::string>{"q_proj", "v_proj"} : std::vector<std::string>{"query", "value"}};
  }
  if (c.targets == "attention") {
    return {.layers = gpt ? std::vector<std::string>{"q_proj", "k_proj", "v_proj", "o_proj"}
                          : std::vector<std::string>{"query", "key", "value", "attention.output.dense"}};
  }
  return {.layers = {"all-linear"}};
}

graft::PlanOptions options_of(const Case& c) {
  if (c.targets.empty()) return {};
  return {.adapter = graft::LoraOptions{.rank = c.rank}, .targets = targets_of(c)};
}

std::string name_of(const Case& c) {
  return c.targets.empty() ? c.model + "/full" : c.model + "/" + c.targets + "/rank:" + std::to_string(c.rank);
}

void report(benchmark::State& state, const graft::Plan& plan) {
  const graft::ParameterCount& all = plan.parameters.all;
  state.counters["trained"] = static_cast<double>(all.trained);
  state.counters["total"] = static_cast<double>(all.total());
  state.counters["share_percent"] = 100.0 * all.share();
  state.counters["optimizer_bytes"] = static_cast<double>(plan.optimizer_bytes);
  state.counters["file_bytes"] = static_cast<double>(plan.file_bytes);
}

/// Time: that of the plan itself.
void counts(benchmark::State& state, const Case& c) {
  const graft::ModelShape shape = shape_of(c.model);
  graft::Plan plan;
  for (auto _ : state) {
    plan = graft::plan(shape, options_of(c));
    benchmark::DoNotOptimize(plan);
  }
  report(state, plan);
}

/// Time: forward, backward and AdamW over 8 sequences of 64 tokens.
void step(benchmark::State& state, const Case& c) {
  torch::manual_seed(0);
  graft::BertForSequenceClassification model(bert_config(c.model));
  if (!c.targets.empty()) graft::attach(*model, {.rank = c.rank}, targets_of(c));
  const graft::Plan plan = graft::plan(shape_of(c.model), options_of(c));
  if (graft::count_parameters(*model).all.trained != plan.parameters.all.trained) {
    state.SkipWithError("the plan does not agree with the model");
    return;
  }
  std::vector<std::vector<std::int32_t>> ids(8, std::vector<std::int32_t>(64));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t t = 0; t < 64; ++t) ids[i][t] = static_cast<std::int32_t>(1000 + (97 * i + 31 * t) % 20000);
  }
  const graft::PackedBatch batch = graft::pack(ids);
  const torch::Tensor labels = torch::arange(8).remainder(2);
  graft::AdamW optimizer(graft::decay_groups(*model, 1e-4, 0.01));
  for (auto _ : state) {
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(model->forward(batch), labels).backward();
    optimizer.step();
  }
  report(state, plan);
  state.counters["tokens_per_second"] =
      benchmark::Counter(static_cast<double>(batch.tokens()), benchmark::Counter::kIsIterationInvariantRate);
}

std::vector<Case> cases(const std::string& model) {
  std::vector<Case> all{{model}};
  for (const auto* targets : {"query+value", "attention", "all-linear"}) {
    for (const std::int64_t rank : {1, 4, 8, 16, 64}) all.push_back({model, targets, rank});
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto* model : {"MiniLM", "BERT-base", "BERT-large", "GPT-3"}) {
    for (const Case& c : cases(model)) {
      benchmark::RegisterBenchmark(("Counts/" + name_of(c)).c_str(), counts, c)->Unit(benchmark::kMicrosecond);
    }
  }
  for (const auto* model : {"MiniLM", "BERT-base"}) {
    for (const Case& c : cases(model)) {
      benchmark::RegisterBenchmark(("Step/" + name_of(c)).c_str(), step, c)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime()
          ->MinTime(0.3);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
