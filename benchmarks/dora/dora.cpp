// Training steps (forward, backward, AdamW) of a BERT with adapters of LoRA and of DoRA, in turn, in processor time:
//   dora [layers = 4] [sequences = 8] [steps = 10]
// BERT-base's sizes, 128 tokens a sequence, rank 8, dropout 0. The median step of each, and their ratio.

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include <torch/nn/functional/loss.h>
#include <torch/optim/adamw.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/kinds/dora.hpp"
#include "graft/models/heads.hpp"

namespace {

struct Run {
  graft::BertForSequenceClassification model;
  torch::optim::AdamW optimizer;
  std::vector<double> seconds = {};

  static std::vector<torch::Tensor> trained(graft::BertForSequenceClassification& model) {
    std::vector<torch::Tensor> parameters;
    for (const torch::Tensor& parameter : model->parameters()) {
      if (parameter.requires_grad()) parameters.push_back(parameter);
    }
    return parameters;
  }

  explicit Run(graft::BertForSequenceClassification net) : model(std::move(net)), optimizer(trained(model)) {}

  void step(const graft::PackedBatch& batch, const torch::Tensor& labels) {
    const std::clock_t start = std::clock();
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(model(batch), labels).backward();
    optimizer.step();
    seconds.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }

  double median() {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }
};

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::int64_t usual) { return argc > i ? std::stoll(argv[i]) : usual; };
  const std::int64_t layers = argument(1, 4), sequences = argument(2, 8), steps = argument(3, 10), length = 128;
  graft::BertConfig config;
  config.num_hidden_layers = layers;
  config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0;
  torch::manual_seed(1);
  const auto ids = torch::randint(0, 30000, {sequences * length});
  const graft::PackedBatch batch{ids, torch::zeros_like(ids), torch::arange(length).repeat({sequences}),
                                 torch::arange(sequences + 1) * length};
  const auto labels = torch::randint(0, 2, {sequences});

  const std::vector<std::vector<std::string>> all_targets = {{"query", "value"}, {"all-linear"}};
  for (const std::vector<std::string>& targets : all_targets) {
    graft::BertForSequenceClassification plain(config), stretched(config);
    graft::attach(*plain, {.rank = 8}, {.layers = targets});
    graft::attach(*stretched, graft::DoraOptions({.rank = 8}), {.layers = targets});
    Run lora(plain), dora(stretched);
    for (std::int64_t i = 0; i < steps + 2; ++i) {
      for (Run* run : {&lora, &dora}) run->step(batch, labels);
      if (i == 1) lora.seconds.clear(), dora.seconds.clear();  // the first steps fill caches
    }
    const double a = lora.median(), b = dora.median();
    std::printf("%-12s LoRA %8.1f ms  DoRA %8.1f ms  ratio %.3f\n", targets.front().c_str(), 1e3 * a, 1e3 * b, b / a);
  }
}
