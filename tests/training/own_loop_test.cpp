// The pieces of a training, put together by hand: the loop that docs/training.md shows.

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/training/guards.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/metrics.hpp"
#include "graft/training/optimizer.hpp"
#include "graft/training/sampler.hpp"
#include "graft/training/schedule.hpp"
#include "graft/training/trainer.hpp"
#include "training/small_task.hpp"

namespace {

using graft_test::SmallNet;
using graft_test::SmallTask;

std::vector<std::int64_t> lengths_of(const SmallTask& task) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t row = 0; row < task.size(); ++row) lengths.push_back(task.length(row));
  return lengths;
}

graft::ConfusionMatrix judge(SmallNet& model, const SmallTask& data) {
  const torch::NoGradGuard no_grad;
  model->eval();
  graft::ConfusionMatrix judged(2);
  for (const auto& rows : graft::InOrder{}(lengths_of(data), graft::Sequences{64})) {
    const auto batch = data.batch(rows);
    const auto predicted = model->forward(batch).argmax(1);
    judged.add({batch.labels.data_ptr<std::int64_t>(), rows.size()}, {predicted.data_ptr<std::int64_t>(), rows.size()});
  }
  model->train();
  return judged;
}

TEST(OwnLoop, LearnsWithThePiecesAlone) {
  const SmallTask data(400), held_out(200, 12);
  const std::vector<std::int64_t> lengths = lengths_of(data);
  SmallNet model;

  graft::AdamW optimizer(graft::decay_groups(*model, /*lr=*/1e-2, /*weight_decay=*/0.01));
  graft::LearningGuard guard(optimizer);
  const graft::ScheduleSpan span{.warmup = 5, .total = 4 * 25};
  std::int64_t step = 0;
  for (std::uint64_t epoch = 0; epoch < 4; ++epoch) {
    for (const auto& rows : graft::Shuffled{}(lengths, graft::Sequences{16}, graft::derived_seed(42, epoch))) {
      const graft::Loss loss = model->loss(data.batch(rows));
      optimizer.zero_grad();
      loss.sum.backward();
      const auto scale = graft::gradient_scale(optimizer.parameters(), loss.count, /*clip_norm=*/1.0);
      guard.observe();
      optimizer.step(graft::LinearDecay{}(step++, span), scale.divisor);
    }
  }
  guard.check();

  EXPECT_EQ(step, span.total);
  EXPECT_GT(judge(model, held_out).accuracy(), 0.9);
}

TEST(OwnLoop, IsWhatTheTrainerDoes) {
  const SmallTask data(400), held_out(200, 12);
  SmallNet model;

  graft::Trainer trainer(*model, {.length = graft::Epochs{4},
                                  .batch = graft::Sequences{16},
                                  .lr = 1e-2,
                                  .warmup = graft::Share{0.05},
                                  .best_by = {.score = "accuracy", .higher_is_better = true},
                                  .keep_best = true});
  const auto result = trainer.train(
      data, [&](const SmallTask::Batch& batch) { return graft::cross_entropy(model->forward(batch), batch.labels); },
      [&] {
        return graft::Scores{{"accuracy", judge(model, held_out).accuracy()}};
      });

  EXPECT_EQ(result.steps, 100);
  EXPECT_GT(result.best->scores.at("accuracy"), 0.9);
  EXPECT_EQ(judge(model, held_out).accuracy(), result.best->scores.at("accuracy"));
}

}  // namespace
