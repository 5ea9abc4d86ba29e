// Steps that are recorded as a CUDA graph and replayed, beside the same steps made one operation at a time.

#include "graft/training/captured_step.hpp"

#include <cmath>
#include <span>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "gpu/cuda.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

constexpr TokenBudget budget{.tokens = 60, .sequences = 6, .longest = 16};

struct Labelled {
  PackedBatch tokens;
  torch::Tensor labels;
};

/// Ten batches, each of another shape. The first three warm up, the fourth is recorded and replayed.
std::vector<Labelled> batches() {
  torch::manual_seed(4);
  std::vector<Labelled> all;
  for (std::int64_t i = 0; i < 10; ++i) {
    std::vector<std::vector<std::int32_t>> ids;
    for (std::int64_t n = 0; n <= (i * 5 + 2) % budget.sequences; ++n) {
      const torch::Tensor drawn = torch::randint(1, 50, {1 + (i + 3 * n) % 10}, torch::kInt32);
      ids.emplace_back(drawn.data_ptr<std::int32_t>(), drawn.data_ptr<std::int32_t>() + drawn.numel());
    }
    all.push_back({pack(ids), torch::randint(0, 2, {std::int64_t(ids.size())}, torch::kInt64)});
  }
  return all;
}

/// Length of the difference over that of `theirs`.
double distance(const torch::Tensor& ours, const torch::Tensor& theirs) {
  const torch::Tensor expected = theirs.detach().to(torch::kFloat64);
  return ((ours.detach().to(torch::kCPU, torch::kFloat64) - expected).norm() / expected.norm()).item<double>();
}

CapturedStep::LossOf loss_of(BertForSequenceClassification model) {
  return [model](const PackedBatch& batch, const torch::Tensor& labels) mutable {
    return cross_entropy(model(batch).to(torch::kFloat32), labels);
  };
}

BertForSequenceClassification on_device(BertForSequenceClassification model, torch::Dtype type) {
  model->to(torch::kCUDA, type);
  return model;
}

/// Captured steps over the batches, and plain ones on the CPU in float32: the loss of each, then what was trained.
std::pair<std::vector<torch::Tensor>, std::vector<torch::Tensor>> captured_and_plain(torch::Dtype type) {
  BertForSequenceClassification captured = on_device(small_lora(), type), plain = small_lora();
  AdamW captured_optimizer(decay_groups(*captured, 1e-2, 0.1)), plain_optimizer(decay_groups(*plain, 1e-2, 0.1));
  const CapturedStepOptions options{.budget = budget, .clip_norm = 0.5};
  CapturedStep step(captured_optimizer, options, loss_of(captured));
  CapturedStep plain_step(plain_optimizer, options, loss_of(plain));
  std::vector<torch::Tensor> ours, theirs;
  double multiplier = 1.0;
  for (const Labelled& batch : batches()) {
    ours.push_back(step(batch.tokens, batch.labels, multiplier));
    theirs.push_back(plain_step(batch.tokens, batch.labels, multiplier));
    multiplier *= 0.8;
  }
  for (const auto& [name, tensor] : captured_optimizer.parameters()) ours.push_back(tensor);
  for (const auto& [name, tensor] : plain_optimizer.parameters()) theirs.push_back(tensor);
  return {ours, theirs};
}

TEST_F(Cuda, CapturedStepsEqualPlainOnes) {
  const auto [ours, theirs] = captured_and_plain(torch::kFloat32);
  ASSERT_EQ(ours.size(), theirs.size());
  // float32 through two layers, ten times; Adam divides a gradient by its size, which lifts the rounding of small ones.
  for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_LT(distance(ours[i], theirs[i]), 1e-3) << i;
}

TEST_F(Cuda, CapturedStepsInBfloat16FollowPlainOnes) {
  const auto [ours, theirs] = captured_and_plain(torch::kBFloat16);
  // Losses alone: weights have 8 bits. Flash attention is what is recorded, and a float32 master of each weight.
  for (std::size_t i = 0; i < 10; ++i) EXPECT_LT(distance(ours[i], theirs[i]), 0.1) << i;
}

/// Each row is one of the ten batches.
struct BatchRows {
  std::vector<Labelled> all = batches();
  std::int64_t size() const { return static_cast<std::int64_t>(all.size()); }
  std::int64_t length(std::int64_t row) const { return all[static_cast<std::size_t>(row)].tokens.tokens(); }
  const Labelled& batch(std::span<const std::int64_t> rows) const { return all[static_cast<std::size_t>(rows[0])]; }
};

TEST_F(Cuda, ATrainerMakesCapturedStepsAsPlainOnes) {
  const BatchRows data;
  const TrainerOptions options{.length = Epochs{2}, .batch = graft::Sequences{1}, .sampler = InOrder{}, .lr = 1e-2};
  BertForSequenceClassification captured = on_device(small_lora(), torch::kFloat32), plain = small_lora();
  Trainer on_gpu(*captured, options), on_cpu(*plain, options);
  const TrainingResult ours = on_gpu.train_captured(data, {.budget = budget}, loss_of(captured));
  const TrainingResult theirs = on_cpu.train_captured(data, {.budget = budget}, loss_of(plain));
  EXPECT_EQ(ours.steps, 20);
  EXPECT_NEAR(ours.loss, theirs.loss, 1e-3 * theirs.loss);  // the tolerance of the steps above
  const NamedTensors trained = on_gpu.optimizer().parameters(), expected = on_cpu.optimizer().parameters();
  for (std::size_t i = 0; i < trained.size(); ++i)
    EXPECT_LT(distance(trained[i].second, expected[i].second), 1e-3) << trained[i].first;
}

TEST_F(Cuda, ATrainersGuardsStopACapturedStepBeforeItsUpdate) {
  const BatchRows data;
  BertForSequenceClassification model = on_device(small_lora(), torch::kFloat32);
  const TrainerOptions options{
      .length = Steps{10}, .batch = graft::Sequences{1}, .sampler = InOrder{}, .lr = 1e-2, .schedule = ConstantRate{}};
  Trainer trainer(*model, options);
  const torch::Tensor factor = torch::ones({}, torch::kCUDA);  // where the graph reads it
  struct Poison : TrainingCallback {
    Poison(torch::Tensor factor, torch::Tensor weight) : factor(factor), weight(weight) {}
    void on_step(const StepRecord& step) override {
      if (step.step != 6) return;
      factor.fill_(std::nan(""));
      before = weight.detach().clone();
    }
    torch::Tensor factor, weight, before;
  };
  const torch::Tensor weight = trainer.optimizer().parameters().front().second;
  const auto poison = std::make_shared<Poison>(factor, weight);
  trainer.add(poison);
  const std::string stopped = error_message([&] {
    trainer.train_captured(data, {.budget = budget}, [&](const PackedBatch& batch, const torch::Tensor& labels) {
      Loss loss = cross_entropy(model(batch), labels);
      loss.sum = loss.sum * factor;
      return loss;
    });
  });
  EXPECT_EQ(stopped.find("TrainingError: the loss is nan in step 7, rows 6"), 0u) << stopped;
  EXPECT_TRUE(weight.equal(poison->before));
}

TEST_F(Cuda, DropoutDiffersBetweenReplaysAndFollowsTheSeed) {
  BertForSequenceClassification model = on_device(small_lora(0.3), torch::kFloat32);
  AdamW optimizer(decay_groups(*model, 1e-2, 0.1));
  CapturedStep step(optimizer, {.budget = budget}, loss_of(model));
  const Labelled batch = batches()[2];
  const auto loss = [&] { return step(batch.tokens, batch.labels, /*lr_multiplier=*/0.0).item<float>(); };
  for (int i = 0; i < 4; ++i) loss();
  torch::manual_seed(7);
  const float first = loss(), second = loss();
  EXPECT_NE(first, second);
  torch::manual_seed(7);
  EXPECT_EQ(loss(), first);
  EXPECT_EQ(loss(), second);
}

TEST_F(Cuda, ALossThatReadsTheDeviceIsNotRecorded) {
  BertForSequenceClassification model = on_device(small_lora(), torch::kFloat32);
  AdamW optimizer(decay_groups(*model, 1e-2, 0.1));
  CapturedStep step(optimizer, {.budget = budget}, [&](const PackedBatch& batch, const torch::Tensor& labels) {
    const Loss loss = cross_entropy(model(batch), labels);
    loss.sum.item<float>();
    return loss;
  });
  const Labelled batch = batches()[0];
  for (int i = 0; i < 3; ++i) step(batch.tokens, batch.labels);
  const std::string refused = error_message([&] { step(batch.tokens, batch.labels); });
  EXPECT_EQ(refused.find("StateError: the step cannot be recorded as a CUDA graph: "), 0u) << refused;
  EXPECT_NE(refused.find("; see that the loss function reads no tensor on the host"), std::string::npos) << refused;
  EXPECT_EQ(torch::ones({3}, torch::kCUDA).sum().item<float>(), 3.0f);  // the device is as it was
}

}  // namespace
}  // namespace graft
