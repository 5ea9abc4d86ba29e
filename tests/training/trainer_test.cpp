#include "graft/training/trainer.hpp"

#include <set>

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include "graft/adapters/full.hpp"
#include "graft/adapters/lora.hpp"
#include "support/error_message.hpp"
#include "training/recorded_run.hpp"
#include "training/small_task.hpp"

namespace graft {
namespace {

using graft_test::largest_difference;
using graft_test::Recorder;
using graft_test::SmallNet;
using graft_test::SmallTask;
using graft_test::train;
using graft_test::Trained;

double accuracy(SmallNet& net, const SmallTask& task) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(task.size()));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  const auto batch = task.batch(rows);
  return net->forward(batch).argmax(1).eq(batch.labels).to(torch::kDouble).mean().item<double>();
}

TEST(Trainer, Learns) {
  const SmallTask task(400), held_out(200, 12);
  SmallNet net(0.1);
  net->eval();
  const double before = accuracy(net, held_out);
  const auto trained = train(net, task, {.length = Epochs{6}, .batch = Sequences{16}, .lr = 1e-2});
  EXPECT_LT(before, 0.7);
  EXPECT_GT(accuracy(net, held_out), 0.9);
  EXPECT_EQ(trained.result.steps, 150);
  EXPECT_EQ(trained.result.reason, StopReason::finished);
  EXPECT_LT(trained.result.loss, 0.3);
}

TEST(Trainer, GivesTheSameBitsForTheSameSeed) {
  const SmallTask task(100);
  const TrainerOptions options{.length = Epochs{2}, .lr = 1e-2, .seed = 3};
  SmallNet first(0.2), second(0.2), other(0.2);
  const auto a = train(first, task, options);
  torch::rand({17});  // what others draw does not matter
  const auto b = train(second, task, options);
  EXPECT_EQ(a.recorder->losses(), b.recorder->losses());
  EXPECT_EQ(largest_difference(*first, *second), 0.0);
  TrainerOptions changed = options;
  changed.seed = 4;
  EXPECT_NE(train(other, task, changed).recorder->losses(), a.recorder->losses());
}

// Everything by hand: LibTorch's AdamW, its clipping, the linear schedule, means over the batch.
TEST(Trainer, FollowsAPlainLoop) {
  const SmallTask task(80);
  SmallNet ours(0.0, torch::kDouble), plain(0.0, torch::kDouble);
  const auto trained = train(ours, task,
                             {.length = Epochs{2},
                              .batch = Sequences{8},
                              .sampler = InOrder{},
                              .lr = 1e-2,
                              .warmup = Share{0.2},
                              .clip_norm = 0.5});
  torch::optim::AdamW optimizer(plain->parameters(), torch::optim::AdamWOptions(0.0).weight_decay(0.0));
  ASSERT_EQ(trained.recorder->steps.size(), 20u);
  for (std::int64_t step = 0; step < 20; ++step) {
    std::vector<std::int64_t> rows(8);
    std::iota(rows.begin(), rows.end(), step % 10 * 8);
    const double multiplier = step < 4 ? static_cast<double>(step) / 4.0 : static_cast<double>(20 - step) / 16.0;
    static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups()[0].options()).lr(1e-2 * multiplier);
    optimizer.zero_grad();
    const auto loss = plain->loss(task.batch(rows)).mean();
    loss.backward();
    const double norm = torch::nn::utils::clip_grad_norm_(plain->parameters(), 0.5);
    optimizer.step();
    const auto& record = trained.recorder->steps[static_cast<std::size_t>(step)];
    EXPECT_NEAR(record.loss, loss.item<double>(), 1e-7);
    EXPECT_NEAR(record.gradient_norm, norm, 1e-6);
    EXPECT_NEAR(record.lr, 1e-2 * multiplier, 1e-15);
    EXPECT_EQ(record.rows, 8);
  }
  EXPECT_LT(largest_difference(*ours, *plain), 1e-7);
}

TEST(Trainer, AccumulatesSmallBatchesToTheVeryBigOne) {
  SmallTask task(100);
  for (const std::int64_t row : {0, 1, 2, 3, 4, 5, 6, 40}) task.ignore(row);  // so that the counts are uneven
  SmallNet small(0.0, torch::kDouble), big(0.0, torch::kDouble);
  const TrainerOptions options{.length = Epochs{3}, .batch = Sequences{32}, .sampler = InOrder{}, .lr = 1e-2};
  TrainerOptions accumulating = options;
  accumulating.batch = Sequences{8};
  accumulating.accumulate = 4;
  const auto a = train(small, task, accumulating);
  const auto b = train(big, task, options);
  ASSERT_EQ(a.recorder->steps.size(), 12u);  // the four rows that are left over make a step too
  ASSERT_EQ(b.recorder->steps.size(), 12u);
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_NEAR(a.recorder->steps[i].loss, b.recorder->steps[i].loss, 1e-12);
    EXPECT_EQ(a.recorder->steps[i].tokens, b.recorder->steps[i].tokens);
  }
  EXPECT_LT(largest_difference(*small, *big), 1e-11);
}

TEST(Trainer, PassesOverAStepInWhichNothingIsJudged) {
  SmallTask task(16);
  for (std::int64_t row = 8; row < 16; ++row) task.ignore(row);
  SmallNet net;
  const auto trained = train(net, task, {.length = Epochs{4}, .sampler = InOrder{}, .lr = 1e-2});
  EXPECT_GT(trained.recorder->steps[0].loss, 0.0);
  EXPECT_EQ(trained.recorder->steps[1].loss, 0.0);
  EXPECT_EQ(trained.recorder->steps[1].gradient_norm, 0.0);
}

TEST(Trainer, PlansTheRun) {
  const SmallTask task(50);
  SmallNet net;
  const auto by_epochs = train(net, task, {.length = Epochs{3}, .batch = Sequences{8}, .accumulate = 2});
  const auto& plan = by_epochs.recorder->plans.at(0);
  EXPECT_EQ(plan.rows, 50);
  EXPECT_EQ(plan.steps, 12);  // seven batches an epoch
  EXPECT_EQ(plan.epochs, 3);
  EXPECT_EQ(plan.trained_values, 50 * 8 + 8 * 8 + 8 + 8 * 2 + 2);
  EXPECT_EQ(by_epochs.recorder->steps.back().epoch, 3);

  const auto by_steps = train(net, task, {.length = Steps{10}, .batch = Sequences{8}});
  EXPECT_EQ(by_steps.recorder->plans.at(0).steps, 10);
  EXPECT_EQ(by_steps.recorder->steps.size(), 10u);
  EXPECT_EQ(by_steps.recorder->steps.back().epoch, 2);

  const auto by_tokens = train(net, task, {.length = Epochs{1}, .batch = Tokens{64}});
  std::int64_t rows = 0;
  for (const auto& step : by_tokens.recorder->steps) {
    EXPECT_LE(step.tokens, 64);
    rows += step.rows;
  }
  EXPECT_EQ(rows, 50);
}

TEST(Trainer, EvaluatesInTimeWithoutGradientsInEvaluationMode) {
  const SmallTask task(40);
  SmallNet net(0.5);
  const auto scores = [&] {
    EXPECT_FALSE(net->is_training());
    EXPECT_FALSE(net->drop->is_training());
    EXPECT_FALSE(torch::GradMode::is_enabled());
    return Scores{{"loss", 1.0}};
  };
  const auto at = [](const Trained& trained) {
    std::vector<std::int64_t> steps;
    for (const auto& evaluation : trained.recorder->evaluations) steps.push_back(evaluation.step);
    return steps;
  };
  const auto each_epoch = train(net, task, {.length = Epochs{3}}, scores);
  EXPECT_EQ(at(each_epoch), (std::vector<std::int64_t>{5, 10, 15}));
  EXPECT_EQ(each_epoch.recorder->evaluations[1].epoch, 2);
  const auto by_steps = train(net, task, {.length = Epochs{2}, .evaluate_every = Steps{4}}, scores);
  EXPECT_EQ(at(by_steps), (std::vector<std::int64_t>{4, 8, 10}));
  EXPECT_EQ(by_steps.result.last->step, 10);
}

TEST(Trainer, EndsWithTheBest) {
  const SmallTask task(40);
  SmallNet net;
  const std::vector<double> given = {0.5, 0.9, 0.7};
  std::vector<torch::Tensor> weights;
  const auto scores = [&] {
    weights.push_back(net->head->weight.clone());
    return Scores{{"accuracy", given[weights.size() - 1]}};
  };
  const auto trained = train(
      net, task,
      {.length = Epochs{3}, .lr = 1e-2, .best_by = {.score = "accuracy", .higher_is_better = true}, .keep_best = true},
      scores);
  EXPECT_EQ(trained.result.best->step, 10);
  EXPECT_EQ(trained.result.best->scores.at("accuracy"), 0.9);
  EXPECT_TRUE(net->head->weight.equal(weights[1]));
  EXPECT_FALSE(net->head->weight.equal(weights[2]));
}

TEST(Trainer, StopsWhenNothingGetsBetter) {
  const SmallTask task(40);
  SmallNet net;
  const std::vector<double> given = {0.5, 0.4, 0.39, std::nan(""), 0.36, 0.2};
  std::size_t next = 0;
  const auto trained =
      train(net, task, {.length = Epochs{6}, .best_by = {.score = "loss", .min_gain = 0.05}, .patience = 3}, [&] {
        return Scores{{"loss", given[next++]}};
      });
  EXPECT_EQ(trained.result.reason, StopReason::stopped_early);
  EXPECT_EQ(trained.result.steps, 25);
  EXPECT_EQ(trained.result.best->step, 10);
}

TEST(Trainer, SaysWhichScoreItMisses) {
  const SmallTask task(8);
  SmallNet net;
  const auto scores = [] { return Scores{{"accuracy", 1.0}, {"f1", 1.0}}; };
  EXPECT_EQ(error_message([&] { train(net, task, {.length = Epochs{1}, .keep_best = true}, scores); }),
            "OptionError: best_by.score is \"loss\", the evaluation gave \"accuracy\", \"f1\"");
  EXPECT_EQ(error_message([&] { train(net, task, {.patience = 1}); }),
            "OptionError: keep_best and patience need an evaluation: give train() one");
}

/// Asks for the end after some steps.
struct Stopper : TrainingCallback {
  Stopper(std::atomic<bool>& flag, std::int64_t after) : flag(flag), after(after) {}
  void on_step(const StepRecord& step) override { flag = step.step == after; }
  std::atomic<bool>& flag;
  std::int64_t after;
};

TEST(Trainer, StopsOnRequestAndGoesOn) {
  const SmallTask task(60);
  SmallNet whole(0.2), parted(0.2);
  std::atomic<bool> stop{false};
  TrainerOptions options{.length = Epochs{2}, .lr = 1e-2};
  const auto uninterrupted = train(whole, task, options);

  options.stop = &stop;
  Trainer trainer(*parted, options);
  const auto recorder = std::make_shared<Recorder>();
  trainer.add(recorder);
  trainer.add(std::make_shared<Stopper>(stop, 5));
  const auto loss = [&](const SmallTask::Batch& batch) { return parted->loss(batch); };
  const auto first = trainer.train(task, loss);
  EXPECT_EQ(first.reason, StopReason::interrupted);
  EXPECT_EQ(first.steps, 5);
  EXPECT_EQ(trainer.train(task, loss).reason, StopReason::interrupted) << "the flag is still up";
  stop = false;
  const auto second = trainer.train(task, loss);
  EXPECT_EQ(second.reason, StopReason::finished);
  EXPECT_EQ(second.steps, 16);
  EXPECT_EQ(recorder->losses(), uninterrupted.recorder->losses());
  EXPECT_EQ(largest_difference(*whole, *parted), 0.0);
  EXPECT_EQ(trainer.train(task, loss).steps, 16) << "a finished run has nothing left";

  const SmallTask other(61);
  EXPECT_EQ(error_message([&] { trainer.train(other, loss); }),
            "StateError: this is not the run that was begun: it had 16 steps, this one has 16, and the batches are "
            "others; go on with the same data and options, or begin a run with a new trainer");
}

TEST(Trainer, RefusesAModuleThatTrainsNothing) {
  SmallNet net;
  for (auto& parameter : net->parameters()) parameter.requires_grad_(false);
  EXPECT_EQ(error_message([&] { Trainer(*net, {}); }),
            "TrainingError: nothing to train: none of the 5 parameters of the module requires a gradient; attach an "
            "adapter or unfreeze a layer");
}

TEST(Trainer, RefusesAModuleThatChangedSince) {
  const SmallTask task(8);
  SmallNet net;
  Trainer trainer(*net, {});
  net->head->bias.requires_grad_(false);
  EXPECT_EQ(error_message([&] { trainer.train(task, [&](const auto& batch) { return net->loss(batch); }); }),
            "TrainingError: the optimizer holds other parameters than the module trains; the module does not train its "
            "\"head.bias\"; build the optimizer after the module is complete and in its place");
}

TEST(Trainer, ListsEveryOptionThatIsOutOfRange) {
  SmallNet net;
  const TrainerOptions options{.length = Epochs{0},
                               .batch = Tokens{0},
                               .accumulate = 0,
                               .lr = -1.0,
                               .warmup = Share{1.5},
                               .weight_decay = -0.1,
                               .clip_norm = 0.0,
                               .evaluate_every = Steps{0},
                               .patience = -1,
                               .guards = {.watched = 1}};
  EXPECT_EQ(
      error_message([&] { Trainer(*net, options); }),
      "OptionError: TrainerOptions: length is 0, it must be at least 1; batch is 0, it must be at least 1; "
      "accumulate is 0, it must be at least 1; lr is -1, it must be finite and above 0; warmup is 1.5, it must be a "
      "share in [0, 1]; weight_decay is -0.1, it must be finite and at least 0; clip_norm is 0, it must be above 0 "
      "(infinity to clip nothing); evaluate_every is 0, it must be at least 1; patience is -1, it must be at least "
      "0; guards.watched is 1, it must be at least 3");
  EXPECT_EQ(error_message([&] { train(net, SmallTask(0), {}); }), "OptionError: there are no rows to train on");
}

TEST(Trainer, TakesGroupsWithRatesOfTheirOwn) {
  const SmallTask task(16);
  SmallNet net, start;
  for (auto* layer : {&net->words->weight, &net->hidden->weight, &net->hidden->bias}) (*layer).requires_grad_(false);
  std::vector<ParameterGroup> groups = {{.parameters = {{"head.weight", net->head->weight}}, .lr = 1e-3},
                                        {.parameters = {{"head.bias", net->head->bias}}, .lr = 1e-1}};
  Trainer trainer(*net, groups, {.length = Steps{1}});
  trainer.train(task, [&](const SmallTask::Batch& batch) { return net->loss(batch); });
  EXPECT_NEAR((net->head->weight - start->head->weight).abs().max().item<double>(), 1e-3, 1e-5);
  EXPECT_NEAR((net->head->bias - start->head->bias).abs().max().item<double>(), 1e-1, 1e-3);
  groups.pop_back();
  EXPECT_EQ(error_message([&] { Trainer(*net, groups, {}); }),
            "TrainingError: the optimizer holds other parameters than the module trains; it lacks \"head.bias\"; build "
            "the optimizer after the module is complete and in its place");
}

TEST(Trainer, RefusesRatesThatWouldBeInVain) {
  SmallNet net;
  const std::vector<ParameterGroup> groups = decay_groups(*net, 1e-3, 0.1);
  EXPECT_EQ(
      error_message([&] { Trainer(*net, groups, {.lr = 1e-2, .weight_decay = 0.0}); }),
      "OptionError: TrainerOptions: lr is set, but the groups have their own; set it there alone; weight_decay is "
      "set, but the groups have their own; set it there alone");
  EXPECT_EQ(
      error_message([&] { Trainer(*net, std::make_shared<AdamW>(groups), {.lr = 1e-2, .adamw = {.beta2 = 0.99}}); }),
      "OptionError: TrainerOptions: lr is set, but the optimizer has its own; set it there alone; adamw is set, "
      "but the optimizer has its own; set it there alone");
  EXPECT_EQ(error_message([&] { Trainer(*net, std::shared_ptr<Optimizer>(), {}); }),
            "OptionError: the optimizer is a null pointer");
  Trainer(*net, groups, {.adamw = {.beta2 = 0.99}});
  EXPECT_EQ(dynamic_cast<const AdamW&>(Trainer(*net, {}).optimizer()).groups()[0].lr, 5e-5) << "unless given";
}

TEST(Trainer, TakesAnOptimizerOfTheCallers) {
  const SmallTask task(40);
  SmallNet given, own;
  const TrainerOptions options{.length = Epochs{2}};
  Trainer trainer(*given, std::make_shared<AdamW>(decay_groups(*given, 1e-2, 0.1)), options);
  trainer.train(task, [&](const SmallTask::Batch& batch) { return given->loss(batch); });
  TrainerOptions same = options;
  same.lr = 1e-2;
  same.weight_decay = 0.1;
  train(own, task, same);
  EXPECT_EQ(largest_difference(*given, *own), 0.0);
}

TEST(Trainer, AsksTheSamplerOnceAnEpoch) {
  const SmallTask task(40);
  for (const std::variant<Epochs, Steps>& length :
       {std::variant<Epochs, Steps>(Epochs{3}), std::variant<Epochs, Steps>(Steps{13})}) {
    SmallNet net;
    std::vector<std::uint64_t> seeds;
    const auto counting = [&](std::span<const std::int64_t> lengths, const BatchSize& size, std::uint64_t seed) {
      seeds.push_back(seed);
      return Shuffled{}(lengths, size, seed);
    };
    train(net, task, {.length = length, .sampler = counting});
    EXPECT_EQ(seeds.size(), 3u);
    EXPECT_EQ(std::set<std::uint64_t>(seeds.begin(), seeds.end()).size(), 3u);
  }
}

template <template <class> class Wrap>
struct WrappedNet : torch::nn::Module {
  WrappedNet() {
    torch::manual_seed(5);
    words = register_module("words", torch::nn::EmbeddingBag(torch::nn::EmbeddingBagOptions(50, 8)));
    words->weight.requires_grad_(false);
    hidden = register_module("hidden", Wrap<torch::nn::Linear>(torch::nn::LinearOptions(8, 8)));
    head = register_module("head", Full<torch::nn::Linear>(torch::nn::LinearOptions(8, 2)));
  }
  Loss loss(const SmallTask::Batch& batch) {
    return cross_entropy(head(torch::tanh(hidden(words->forward(batch.ids, batch.starts)))), batch.labels);
  }
  torch::nn::EmbeddingBag words{nullptr};
  Wrap<torch::nn::Linear> hidden{nullptr};
  Full<torch::nn::Linear> head{nullptr};
};

// A's first gradient is exactly zero, since B is; with a warm-up B itself moves only in the second step.
TEST(Trainer, TrainsAnAdapterAndLeavesItsBaseAlone) {
  const SmallTask task(400);
  WrappedNet<Lora> net;
  const auto base = net.hidden->weight.clone();
  Trainer trainer(net, {.length = Epochs{3}, .lr = 1e-2, .warmup = Steps{5}});
  std::vector<std::string> names;
  for (const auto& [name, tensor] : trainer.optimizer().parameters()) names.push_back(name);
  EXPECT_EQ(names.size(), 4u);  // A and B, the head's weight and bias
  const auto result = trainer.train(task, [&](const SmallTask::Batch& batch) { return net.loss(batch); });
  EXPECT_LT(result.loss, 0.66);  // guessing gives 0.69
  EXPECT_TRUE(net.hidden->weight.equal(base));
}

TEST(Trainer, TrainsTheSameNetInFull) {
  const SmallTask task(400);
  WrappedNet<Full> net;
  const auto base = net.hidden->weight.clone();
  const auto result = Trainer(net, {.length = Epochs{3}, .lr = 1e-2}).train(task, [&](const SmallTask::Batch& batch) {
    return net.loss(batch);
  });
  EXPECT_LT(result.loss, 0.66);  // guessing gives 0.69
  EXPECT_FALSE(net.hidden->weight.equal(base));
}

TEST(Trainer, RefusesRowsThatASamplerMadeUp) {
  SmallNet net;
  const auto with = [&](const Batches& batches) {
    const auto sampler = [&](std::span<const std::int64_t>, const BatchSize&, std::uint64_t) { return batches; };
    return error_message([&] { train(net, SmallTask(4), {.sampler = sampler}); });
  };
  EXPECT_EQ(with({}), "OptionError: the sampler gave no batch");
  EXPECT_EQ(with({{0}, {}}), "OptionError: the sampler gave an empty batch");
  EXPECT_EQ(with({{0, 4}}), "OptionError: the sampler gave row 4 of 4");
}

}  // namespace
}  // namespace graft
