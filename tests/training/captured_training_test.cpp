// A training made of captured steps: on the CPU that of plain ones, bit by bit, with all that the trainer does beside.

#include <cmath>

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include "graft/models/heads.hpp"
#include "graft/training/checkpoint.hpp"
#include "graft/training/libtorch_optimizer.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "support/small_encoders.hpp"
#include "support/temporary_directory.hpp"
#include "training/recorded_run.hpp"

namespace graft {
namespace {

/// Texts of random tokens, each with the class of its first one; two rows that no loss judges.
struct PackedTask {
  struct Batch {
    PackedBatch tokens;
    torch::Tensor labels;
  };

  PackedTask() {
    torch::manual_seed(3);
    for (std::int64_t row = 0; row < 26; ++row) {
      const torch::Tensor drawn = torch::randint(1, 50, {1 + row % 9}, torch::kInt32);
      rows.emplace_back(drawn.data_ptr<std::int32_t>(), drawn.data_ptr<std::int32_t>() + drawn.numel());
      labels.push_back(row < 2 ? -100 : rows.back().front() % 3);
    }
  }
  std::int64_t size() const { return static_cast<std::int64_t>(rows.size()); }
  std::int64_t length(std::int64_t row) const {
    return static_cast<std::int64_t>(rows[static_cast<std::size_t>(row)].size());
  }
  Batch batch(std::span<const std::int64_t> chosen) const {
    std::vector<std::vector<std::int32_t>> ids;
    std::vector<std::int64_t> classes;
    for (const auto row : chosen) {
      ids.push_back(rows[static_cast<std::size_t>(row)]);
      classes.push_back(labels[static_cast<std::size_t>(row)]);
    }
    return {pack(ids), torch::tensor(classes, torch::kInt64)};
  }

  std::vector<std::vector<std::int32_t>> rows;
  std::vector<std::int64_t> labels;
};

constexpr CapturedStepOptions captured{.budget = {.tokens = 18, .sequences = 2, .longest = 9}};

struct TrainedModel {
  BertForSequenceClassification model{nullptr};
  std::shared_ptr<graft_test::Recorder> recorder = std::make_shared<graft_test::Recorder>();
  std::unique_ptr<Trainer> trainer;
  PackedTask task;

  explicit TrainedModel(const TrainerOptions& options) {
    BertConfig config = small_bert("bert");
    config.hidden_dropout_prob = 0.1;
    torch::manual_seed(5);
    model = BertForSequenceClassification(config);
    trainer = std::make_unique<Trainer>(*model, options);
    trainer->add(recorder);
  }
  CapturedStep::LossOf loss_of() {
    return
        [this](const PackedBatch& batch, const torch::Tensor& labels) { return cross_entropy(model(batch), labels); };
  }
  std::function<Scores()> scores() {
    return [this] { return Scores{{"loss", double(model->parameters().back().sum().item<double>())}}; };
  }
  TrainingResult plain() {
    return trainer->train(
        task, [&](const PackedTask::Batch& batch) { return loss_of()(batch.tokens, batch.labels); }, scores());
  }
  TrainingResult captured_steps() { return trainer->train_captured(task, captured, loss_of(), scores()); }
};

/// Two rows a batch in their order: the first batch judges nothing.
TrainerOptions options() {
  return {.length = Steps{20}, .batch = Sequences{2}, .sampler = InOrder{}, .lr = 1e-3, .evaluate_every = Steps{5}};
}

void expect_same(const TrainedModel& a, const TrainedModel& b) {
  const auto others = b.model->named_parameters();
  for (const auto& item : a.model->named_parameters())
    EXPECT_TRUE(item.value().equal(others[item.key()])) << item.key();
}

TEST(CapturedTraining, IsThePlainTrainingOnTheCpu) {
  TrainedModel plain(options()), captured(options());
  const TrainingResult expected = plain.plain(), got = captured.captured_steps();
  EXPECT_EQ(got.steps, 20);
  EXPECT_EQ(got.loss, expected.loss);
  EXPECT_EQ(captured.recorder->losses(), plain.recorder->losses());
  EXPECT_EQ(captured.recorder->steps[0].loss, 0.0) << "nothing is judged in it";
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(captured.recorder->steps[i].gradient_norm, plain.recorder->steps[i].gradient_norm);
    EXPECT_EQ(captured.recorder->steps[i].lr, plain.recorder->steps[i].lr);
  }
  ASSERT_EQ(captured.recorder->evaluations.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(captured.recorder->evaluations[i].scores, plain.recorder->evaluations[i].scores);
  expect_same(plain, captured);
}

TEST(CapturedTraining, GoesOnFromACheckpointBitByBit) {
  const TemporaryDirectory directory;
  TrainerOptions saving = options();
  saving.checkpoints = CheckpointOptions{.directory = directory.path(), .every = Steps{1}, .keep = 100};
  TrainedModel whole(saving);
  whole.captured_steps();
  TrainedModel again(options());
  EXPECT_TRUE(again.trainer->resume(checkpoint_path(directory.path(), 7)).empty());
  again.captured_steps();
  const std::vector<double> losses = whole.recorder->losses();
  EXPECT_EQ(again.recorder->losses(), std::vector<double>(losses.begin() + 7, losses.end()));
  expect_same(whole, again);
}

TEST(CapturedTraining, IsWatchedByTheGuards) {
  TrainedModel run(options());
  const auto unused = run.model->register_module("spare", torch::nn::Linear(2, 2));
  run.trainer = std::make_unique<Trainer>(*run.model, options());
  EXPECT_EQ(error_message([&] { run.captured_steps(); }),
            "TrainingError: no gradient reaches \"spare.weight\", \"spare.bias\"; the loss does not depend on them: "
            "freeze them, or use them in the forward pass");

  TrainedModel poisoned(options()), good(options());
  const CapturedStep::LossOf nan_at_last = [&](const PackedBatch& batch, const torch::Tensor& labels) {
    Loss loss = poisoned.loss_of()(batch, labels);
    if (poisoned.trainer->steps_done() == 3) loss.sum = loss.sum * std::nan("");
    return loss;
  };
  EXPECT_EQ(error_message([&] { poisoned.trainer->train_captured(poisoned.task, captured, nan_at_last); }),
            "TrainingError: the loss is nan in step 4, rows 6, 7; look at these rows, or lower the learning rate");
  std::atomic<bool> stop{false};
  TrainerOptions three = options();
  three.stop = &stop;
  struct Stopper : TrainingCallback {
    explicit Stopper(std::atomic<bool>& flag) : flag(flag) {}
    void on_step(const StepRecord& step) override { flag = step.step == 3; }
    std::atomic<bool>& flag;
  };
  good.trainer = std::make_unique<Trainer>(*good.model, three);
  good.trainer->add(std::make_shared<Stopper>(stop));
  good.plain();
  expect_same(poisoned, good);
}

TEST(CapturedTraining, RefusesWhatCannotBeOneStep) {
  TrainedModel run(options());
  const auto refused = [&](Trainer& trainer, CapturedStepOptions step) {
    return error_message([&] { trainer.train_captured(run.task, step, run.loss_of()); });
  };
  CapturedStepOptions clipping = captured;
  clipping.clip_norm = 2.0;
  EXPECT_EQ(refused(*run.trainer, clipping),
            "OptionError: the captured step's clip_norm is 2; set the trainer's alone");
  TrainerOptions accumulating = options();
  accumulating.accumulate = 2;
  Trainer two(*run.model, accumulating);
  EXPECT_EQ(refused(two, captured), "OptionError: accumulate is 2; a captured step is one batch");
  const auto sgd = std::make_shared<torch::optim::SGD>(tensors_of(trained_parameters(*run.model)), 0.1);
  Trainer other(*run.model, std::make_shared<LibTorchOptimizer>(*run.model, sgd), {});
  EXPECT_EQ(refused(other, captured),
            "OptionError: a captured step is made with graft's AdamW; train() takes any optimizer");
  CapturedStepOptions small = captured;
  small.budget.tokens = 5;
  EXPECT_NE(refused(*run.trainer, small).find("ShapeError: the batch has"), std::string::npos);
}

}  // namespace
}  // namespace graft
