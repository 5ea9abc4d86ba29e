// Training of causal language models in little memory.

#include <gtest/gtest.h>
#include <torch/nn/init.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/selection.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/plan_step.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/preference_loss.hpp"
#include "support/error_message.hpp"

namespace graft::causal_training_test {
namespace {

using Ids = std::vector<std::int32_t>;

CausalConfig small(const std::string& family) {
  CausalConfig config;
  config.model_type = family;
  config.vocab_size = 30;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = family == "gpt2" ? 4 : 2;
  config.head_dim = 4;
  config.max_position_embeddings = 40;
  config.initializer_range = 0.4;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = family == "gpt2";
  config.attention_dropout = 0.2;
  if (family == "gpt2") config.hidden_dropout = config.embedding_dropout = 0.1;
  if (family == "gemma3_text" || family == "gpt2") config.tie_word_embeddings = true;
  return config;
}

const std::vector<Ids> texts{{1, 2, 3, 4, 5, 6, 7}, {9, 8}, {11, 12, 13, 14, 15}};
torch::Tensor labels() {
  return torch::tensor({1, -100, 3, 4, -100, 6, 7, 9, 8, -100, 12, 13, 14, -100}, torch::kInt64);
}

/// The loss and the gradients of what is trained, under one seed.
std::vector<torch::Tensor> step(CausalLM& model, bool checkpoints, const AdapterSelection* selection = nullptr) {
  torch::manual_seed(17);
  model->checkpoint_layers(checkpoints);
  model->zero_grad();
  torch::Tensor loss;
  {
    std::optional<AdapterScope> scope;
    if (selection) scope.emplace(*selection);
    // The head of a mixed batch must be given all its rows.
    loss = selection ? model->hidden(pack(texts)).square().sum()
                     : negative_log_likelihood(model->log_probabilities(pack(texts), labels()).values).sum;
  }
  loss.backward();
  std::vector<torch::Tensor> all{loss.detach(), torch::rand({2})};
  for (const auto& [name, tensor] : trained_parameters(*model)) all.push_back(tensor.grad());
  return all;
}

void expect_same(const std::vector<torch::Tensor>& some, const std::vector<torch::Tensor>& others,
                 const std::string& what) {
  ASSERT_EQ(some.size(), others.size());
  for (std::size_t i = 0; i < some.size(); ++i) {
    ASSERT_EQ(some[i].defined(), others[i].defined()) << what << " " << i;
    if (some[i].defined()) {
      EXPECT_TRUE(some[i].equal(others[i])) << what << " " << i;
    }
  }
}

TEST(CausalTraining, CheckpointedLayersGiveTheVeryGradientsWithDropout) {
  for (const char* family : {"llama", "qwen3", "gemma3_text", "gpt2"}) {
    torch::manual_seed(1);
    CausalLM model(small(family));
    model->train();
    expect_same(step(model, true), step(model, false), family);
    attach(*model, {.rank = 2, .alpha = 8.0, .dropout = 0.3}, {.layers = {"all-linear"}});
    for (const auto& [name, tensor] : trained_parameters(*model)) torch::nn::init::normal_(tensor);
    const auto plain = step(model, false);
    expect_same(step(model, true), plain, family);
    EXPECT_GT(plain.back().abs().max().item<double>(), 0.0);
  }
}

TEST(CausalTraining, CheckpointedLayersKeepTheAdaptersOfTheForwardPass) {
  torch::manual_seed(2);
  CausalLM model(small("llama"));
  model->train();
  for (const char* name : {"b", "a"}) {
    attach(*model, {.rank = 2, .alpha = 8.0}, {.layers = {"all-linear"}}, name);
    for (const auto& [path, tensor] : trained_parameters(*model)) torch::nn::init::normal_(tensor);
  }
  train_only(*model, {"a", "b"});
  const AdapterSelection mixed(*model, pack(texts).offsets, {"a", "", "b"});
  const auto with = step(model, false, &mixed);
  expect_same(step(model, true, &mixed), with, "mixed");
  EXPECT_FALSE(step(model, false)[0].equal(with[0]));
  // Nor does a scope around backward alone count.
  torch::manual_seed(17);
  model->zero_grad();
  const torch::Tensor loss = negative_log_likelihood(model->log_probabilities(pack(texts), labels()).values).sum;
  {
    const AdapterScope scope(mixed);
    loss.backward();
  }
  std::vector<torch::Tensor> outside{loss.detach(), torch::rand({2})};
  for (const auto& [name, tensor] : trained_parameters(*model))
    outside.push_back(tensor.grad().defined() ? tensor.grad().clone() : torch::Tensor());
  expect_same(outside, step(model, true), "scope around backward");
}

TEST(CausalTraining, LogProbabilitiesAreTheCrossEntropyOfTheLogitsWithItsGradients) {
  for (const char* family : {"llama", "gpt2"}) {
    for (const bool full : {true, false}) {
      torch::manual_seed(3);
      CausalLM model(small(family));
      model->to(torch::kDouble);
      model->eval();
      const bool has_head = !model->tied_weight().defined();
      if (!full)
        attach(*model, {.rank = 2, .alpha = 8.0},
               has_head ? Targets{.layers = {"q_proj", "lm_head"}} : Targets{.layers = {"all-linear"}});
      const auto gradients = [&](const Loss& loss) {
        model->zero_grad();
        loss.sum.backward();
        std::vector<torch::Tensor> all{loss.sum.detach()};
        for (const auto& [name, tensor] : trained_parameters(*model)) all.push_back(tensor.grad().clone());
        return all;
      };
      const TokenLogProbabilities known = model->log_probabilities(pack(texts), labels());
      EXPECT_TRUE(known.offsets.equal(torch::tensor({0, 4, 5, 8}, torch::kInt64)));
      const Loss ours = negative_log_likelihood(known.values);
      const auto [logits, targets] = model->predictions(pack(texts), labels());
      const Loss plain = cross_entropy(logits, targets);
      EXPECT_EQ(double(ours.count), double(plain.count));
      const auto a = gradients(ours), b = gradients(plain);
      for (std::size_t i = 0; i < a.size(); ++i)
        EXPECT_LT((a[i] - b[i]).abs().max().item<double>(), 1e-12) << family << full << i;
    }
  }
}

TEST(CausalTraining, NothingLabelledHasNoLogProbabilities) {
  CausalLM model(small("llama"));
  const auto [values, offsets] = model->log_probabilities(pack(texts), torch::full({14}, -100, torch::kInt64));
  EXPECT_EQ(values.sizes(), at::IntArrayRef({0}));
  EXPECT_TRUE(offsets.equal(torch::zeros({4}, torch::kInt64)));
  EXPECT_EQ(double(negative_log_likelihood(values).count), 0.0);
}

TEST(CausalTraining, LearnsPreferencesWithItselfForReference) {
  torch::manual_seed(5);
  CausalLM model(small("llama"));
  model->train();
  attach(*model, {.rank = 2, .alpha = 8.0}, {.layers = {"all-linear"}});
  struct {
    PackedBatch tokens;
    torch::Tensor labels;
  } batch{pack(std::vector<Ids>{{1, 2, 3}, {4, 5, 6, 7}, {1, 2, 8, 9}, {4, 5, 10}}),
          torch::tensor({-100, -100, 3, -100, -100, 6, 7, -100, -100, 8, 9, -100, -100, 10}, torch::kInt64)};
  AdamW optimizer(decay_groups(*model, 1e-2, 0.0));
  std::vector<double> margins;
  for (int step = 0; step < 5; ++step) {
    const auto scores = [&] {
      const auto [values, offsets] = model->log_probabilities(batch.tokens, batch.labels);
      return sequence_log_probabilities(values, offsets);
    };
    const SequenceLogProbabilities policy = scores();
    const PreferenceLoss preference = dpo_loss(policy, reference_log_probabilities(*model, scores), {.beta = 0.1});
    const Loss loss = mixed(preference.loss, chosen_loss(policy), /*weight=*/0.5);
    optimizer.zero_grad();
    loss.sum.backward();
    optimizer.step();
    margins.push_back(preference.margin());
    if (step == 4) {
      EXPECT_EQ(preference.accuracy(), 1.0);
    }
  }
  // Attention drops out in the policy's pass, so the first margin is not exactly none.
  EXPECT_GT(margins.back(), margins.front() + 0.05);
}

TEST(CausalTraining, AStepIsPlannedWithWhatItKeeps) {
  torch::manual_seed(6);
  CausalLM model(small("llama"));
  const PackedBatch tokens = pack(texts);
  const torch::Tensor labels = causal_training_test::labels();
  model->checkpoint_layers(true);
  const Plan said =
      plan_step(model->config(), {.adapter = LoraOptions{.rank = 2}, .targets = {.layers = {"all-linear"}}},
                {.lengths = {7, 2, 5}, .checkpoints_layers = true});
  const Loss loss = negative_log_likelihood(model->log_probabilities(tokens, labels).values);
  EXPECT_EQ(double(loss.count), 8);
  EXPECT_TRUE(model->checkpoints_layers());
  const PlanOptions options{.adapter = LoraOptions{.rank = 2}, .targets = {.layers = {"all-linear"}}};
  const Plan plain = plan(shape_of(*model), options);
  EXPECT_EQ(said.weight_bytes, plain.weight_bytes);
  EXPECT_EQ(said.optimizer_bytes, plain.optimizer_bytes);
  EXPECT_EQ(said.bytes(), plain.bytes() + said.activation_bytes + said.program_bytes);
  EXPECT_NE(said.summary().find("activations "), std::string::npos);
  EXPECT_EQ(plain.summary().find("activations "), std::string::npos);
  const auto activations = [&](std::int64_t length, bool checkpoints, bool whole) {
    return plan_step(model->config(), options,
                     {.lengths = {length}, .checkpoints_layers = checkpoints, .whole_logits = whole})
        .activation_bytes;
  };
  EXPECT_LT(activations(1000, true, false), activations(1000, false, false));
  EXPECT_LT(activations(1000, false, false), activations(1000, false, true));
  EXPECT_LT(activations(1000, true, false), activations(2000, true, false));
  EXPECT_EQ(error_message([&] { plan_step(model->config(), options, {}); }),
            "OptionError: a step on no sequence; give the lengths of those of a batch");
  EXPECT_EQ(error_message([&] {
              plan_step(model->config(), options, {.lengths = {3, 0}});
            }),
            "OptionError: a sequence of 0 tokens; each has 1 or more");
}

}  // namespace
}  // namespace graft::causal_training_test
