#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "training/recorded_run.hpp"
#include "training/small_task.hpp"

// A training that goes wrong ends, says why, and leaves the model as it was.

namespace graft {
namespace {

using graft_test::largest_difference;
using graft_test::SmallNet;
using graft_test::SmallTask;
using graft_test::train;

TEST(TrainerGuards, EndsAtALossThatIsNotANumberBeforeItDoesHarm) {
  const SmallTask task(24);
  SmallNet net, good;
  const auto poisoned = [&](std::span<const std::int64_t> rows) {
    auto loss = net->loss(task.batch(rows));
    if (std::find(rows.begin(), rows.end(), 17) != rows.end()) loss.sum = loss.sum * std::nan("");
    return loss;
  };
  const std::vector<std::int64_t> lengths(24, 1);
  TrainerOptions options{.length = Epochs{1}, .sampler = InOrder{}, .lr = 1e-2, .schedule = ConstantRate{}};
  Trainer trainer(*net, options);
  net->eval();
  EXPECT_EQ(
      error_message([&] { trainer.train_rows(lengths, poisoned); }),
      "TrainingError: the loss is nan in step 3, rows 16, 17, 18, 19, 20, 21, 22, 23; look at these rows, or lower "
      "the learning rate");
  EXPECT_EQ(trainer.steps_done(), 2);
  EXPECT_FALSE(net->is_training()) << "the module is in the mode it came in";

  Trainer until_then(*good, options);
  std::atomic<bool> stop{false};
  TrainerOptions two = options;
  two.length = Steps{2};
  train(good, task, two);
  EXPECT_EQ(largest_difference(*net, *good), 0.0) << "the parameters are those of step 2";
}

TEST(TrainerGuards, EndsAtAGradientThatIsNotFinite) {
  const SmallTask task(8);
  SmallNet net;
  Trainer trainer(*net, {.length = Epochs{1}});
  const auto loss = [&](const SmallTask::Batch& batch) {
    auto judged = net->loss(batch);
    judged.sum = judged.sum + (net->head->bias - net->head->bias.detach()).abs().sqrt().sum();  // slope at 0: infinite
    return judged;
  };
  EXPECT_EQ(
      error_message([&] { trainer.train(task, loss); }),
      "TrainingError: the gradient is not finite in step 1, in \"head.bias\"; lower the learning rate or clip the "
      "norm");
}

TEST(TrainerGuards, EndsAtAGradientWhoseNormOverflows) {
  const SmallTask task(8);
  SmallNet net;
  Trainer trainer(*net, {.length = Epochs{1}});
  const auto loss = [&](const SmallTask::Batch& batch) { return Loss{net->loss(batch).sum * 1e30, 8}; };
  EXPECT_EQ(
      error_message([&] { trainer.train(task, loss); }),
      "TrainingError: the norm of the gradient overflows in step 1; lower the learning rate or scale the loss down");
}

TEST(TrainerGuards, SaysWhenAParameterIsNotUsed) {
  const SmallTask task(80);
  SmallNet net;
  net->register_module("spare", torch::nn::Linear(2, 2));
  const std::string expected =
      "TrainingError: no gradient reaches \"spare.weight\", \"spare.bias\"; the loss does not depend on them: freeze "
      "them, or use them in the forward pass";
  EXPECT_EQ(error_message([&] { train(net, task, {.length = Epochs{1}}); }), expected);
  EXPECT_EQ(error_message([&] { train(net, task, {.length = Steps{1}}); }), expected) << "also in a short run";
  train(net, task, {.length = Epochs{1}, .guards = {.learning = false}});
}

/// A net whose head has weights of `value` in `type`, and its training.
struct LargeHead {
  const SmallTask task{80};
  SmallNet net{0.0, torch::kFloat};

  LargeHead(float value, torch::ScalarType type) { net->head->weight.set_data(torch::full({2, 8}, value).to(type)); }
  Trainer trainer() { return Trainer(*net, {.length = Epochs{1}, .lr = 1e-3}); }
  void train(Trainer& trainer) {
    trainer.train(task, [&](const SmallTask::Batch& batch) {
      const auto hidden = torch::tanh(net->hidden(net->words->forward(batch.ids, batch.starts)));
      return cross_entropy(torch::linear(hidden, net->head->weight.to(torch::kFloat), net->head->bias), batch.labels);
    });
  }
};

TEST(TrainerGuards, TrainsABfloat16ParameterWhoseRoundingStaysTheSame) {
  LargeHead large(100.0f, torch::kBFloat16);
  Trainer trainer = large.trainer();
  large.train(trainer);
  EXPECT_TRUE(large.net->head->weight.eq(100.0f).all().item<bool>());
}

TEST(TrainerGuards, SaysWhenAParameterOfLowPrecisionDoesNotMove) {
  LargeHead large(3e5f, torch::kFloat);
  Trainer trainer = large.trainer();
  EXPECT_EQ(
      error_message([&] { large.train(trainer); }),
      "TrainingError: training does not move \"head.weight\"; the learning rate may be too small for their element "
      "type");
}

TEST(TrainerGuards, SaysWhenAFrozenParameterChanges) {
  const SmallTask task(8);
  SmallNet net;
  net->words->weight.requires_grad_(false);
  Trainer trainer(*net, {.length = Epochs{1}});
  const auto loss = [&](const SmallTask::Batch& batch) {
    auto judged = net->loss(batch);
    const torch::NoGradGuard no_grad;
    net->words->weight[3][4].add_(1e-3);
    return judged;
  };
  EXPECT_EQ(
      error_message([&] { trainer.train(task, loss); }),
      "TrainingError: frozen parameters have changed: \"words.weight\"; something other than the optimizer writes "
      "to them");
}

TEST(TrainerGuards, SaysWhatIsWrongWithALoss) {
  const SmallTask task(8);
  SmallNet net;
  const auto with = [&](const std::function<Loss(const SmallTask::Batch&)>& loss) {
    return error_message([&] { Trainer(*net, {.length = Epochs{1}}).train(task, loss); });
  };
  EXPECT_EQ(with([&](const auto& batch) {
              return Loss{net->forward(batch), 8};
            }),
            "ShapeError: the loss of step 1 must be one number, the sum over the batch; it has the shape [8, 2]");
  EXPECT_EQ(with([&](const auto&) { return Loss{}; }),
            "ShapeError: the loss of step 1 must be one number, the sum over the batch");
  EXPECT_EQ(
      with([&](const auto& batch) {
        return Loss{net->loss(batch).sum.detach(), 8};
      }),
      "TrainingError: the loss of step 1 has no gradient: it depends on no trained parameter, or was computed under "
      "NoGradGuard");
  EXPECT_EQ(with([&](const auto& batch) {
              return Loss{net->loss(batch).sum, -1};
            }),
            "OptionError: the loss of step 1 counts -1 rows or tokens");
}

}  // namespace
}  // namespace graft
