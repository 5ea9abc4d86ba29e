#include "graft/training/libtorch_optimizer.hpp"

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include "graft/training/checkpoint.hpp"
#include "graft/training/guards.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"
#include "training/recorded_run.hpp"
#include "training/small_task.hpp"

namespace graft {
namespace {

using graft_test::largest_difference;
using graft_test::Recorder;
using graft_test::SmallNet;
using graft_test::SmallTask;

template <class Of, class Options>
std::shared_ptr<LibTorchOptimizer> make(SmallNet& net, const Options& options) {
  return std::make_shared<LibTorchOptimizer>(*net, std::make_shared<Of>(tensors_of(trained_parameters(*net)), options));
}

TEST(LibTorchOptimizer, MovesWhatTheTrainerTrains) {
  torch::manual_seed(0);
  const SmallTask task(80);
  SmallNet model;
  const auto sgd = std::make_shared<torch::optim::SGD>(tensors_of(trained_parameters(*model)),
                                                       torch::optim::SGDOptions(0.5).momentum(0.9));
  Trainer trainer(*model, std::make_shared<LibTorchOptimizer>(*model, sgd), {.length = Epochs{30}});
  const auto result = trainer.train(task, [&](const SmallTask::Batch& batch) { return model->loss(batch); });
  EXPECT_EQ(result.steps, 300);
  EXPECT_LT(result.loss, 0.65);  // guessing gives 0.69
}

using Make = std::function<std::shared_ptr<Optimizer>(SmallNet&)>;

/// Every kind whose state can be saved, with the settings that make it keep most.
std::vector<std::pair<std::string, Make>> kinds() {
  namespace optim = torch::optim;
  return {{"sgd", [](SmallNet& net) { return make<optim::SGD>(net, optim::SGDOptions(0.1)); }},
          {"momentum",
           [](SmallNet& net) {
             return make<optim::SGD>(net, optim::SGDOptions(0.1).momentum(0.9).dampening(0.1).weight_decay(0.01));
           }},
          {"adam", [](SmallNet& net) { return make<optim::Adam>(net, optim::AdamOptions(1e-2)); }},
          {"adamw", [](SmallNet& net) { return make<optim::AdamW>(net, optim::AdamWOptions(1e-2).amsgrad(true)); }},
          {"rmsprop",
           [](SmallNet& net) {
             return make<optim::RMSprop>(net, optim::RMSpropOptions(1e-3).momentum(0.9).centered(true));
           }},
          {"adagrad", [](SmallNet& net) { return make<optim::Adagrad>(net, optim::AdagradOptions(1e-2)); }}};
}

/// A net, its trainer and the losses of its steps.
struct TrainedNet {
  SmallNet net{0.3};
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
  Trainer trainer;

  TrainedNet(const Make& make, const TrainerOptions& options) : trainer(*net, make(net), options) {
    trainer.add(recorder);
  }
  TrainingResult go(const SmallTask& task) {
    return trainer.train(task, [&](const SmallTask::Batch& batch) { return net->loss(batch); });
  }
};

TEST(LibTorchOptimizer, TrainsAsInAPlainLoop) {
  const SmallTask task(80);
  SmallNet ours(0.0, torch::kDouble), plain(0.0, torch::kDouble);
  const auto options = torch::optim::SGDOptions(0.5).momentum(0.9);
  Trainer trainer(*ours, make<torch::optim::SGD>(ours, options),
                  {.length = Steps{20}, .batch = Sequences{8}, .sampler = InOrder{}, .clip_norm = 0.5});
  const auto recorder = std::make_shared<Recorder>();
  trainer.add(recorder);
  trainer.train(task, [&](const SmallTask::Batch& batch) { return ours->loss(batch); });

  torch::optim::SGD optimizer(plain->parameters(), options);
  for (std::int64_t step = 0; step < 20; ++step) {
    std::vector<std::int64_t> rows(8);
    std::iota(rows.begin(), rows.end(), step % 10 * 8);
    const double lr = 0.5 * static_cast<double>(20 - step) / 20.0;
    optimizer.param_groups()[0].options().set_lr(lr);
    optimizer.zero_grad();
    const auto loss = plain->loss(task.batch(rows)).mean();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(plain->parameters(), 0.5);
    optimizer.step();
    EXPECT_NEAR(recorder->steps[static_cast<std::size_t>(step)].loss, loss.item<double>(), 1e-6);
    EXPECT_NEAR(recorder->steps[static_cast<std::size_t>(step)].lr, lr, 1e-15);
  }
  EXPECT_LT(largest_difference(*ours, *plain), 1e-6) << "the divisor of the gradients is a float32";
}

TEST(LibTorchOptimizer, LearnsAndGoesOnFromACheckpointBitByBit) {
  const SmallTask task(70);
  for (const auto& [name, make] : kinds()) {
    const TemporaryDirectory directory;
    TrainerOptions options{.length = Steps{14}, .warmup = Steps{2}};
    options.checkpoints = CheckpointOptions{.directory = directory.path(), .every = Steps{1}, .keep = 100};
    TrainedNet whole(make, options);
    EXPECT_EQ(whole.go(task).steps, 14) << name;
    EXPECT_GT(largest_difference(*whole.net, *SmallNet(0.3)), 1e-4) << name;
    options.checkpoints.reset();
    for (const std::int64_t step : {1, 6, 13}) {
      TrainedNet again(make, options);
      EXPECT_TRUE(again.trainer.resume(checkpoint_path(directory.path(), step)).empty()) << name;
      again.go(task);
      const std::vector<double> losses = whole.recorder->losses();
      EXPECT_EQ(again.recorder->losses(), std::vector<double>(losses.begin() + step, losses.end())) << name << step;
      EXPECT_EQ(largest_difference(*whole.net, *again.net), 0.0) << name << ", from step " << step;
    }
  }
}

TEST(LibTorchOptimizer, IsWatchedByTheGuards) {
  const SmallTask task(80);
  SmallNet net;
  net->register_module("spare", torch::nn::Linear(2, 2));
  const auto with = [&](std::shared_ptr<Optimizer> optimizer) {
    return error_message([&] {
      Trainer(*net, std::move(optimizer), {}).train(task, [&](const auto& batch) { return net->loss(batch); });
    });
  };
  EXPECT_EQ(with(make<torch::optim::SGD>(net, torch::optim::SGDOptions(0.1))),
            "TrainingError: no gradient reaches \"spare.weight\", \"spare.bias\"; the loss does not depend on them: "
            "freeze them, or use them in the forward pass");
  const auto some = std::make_shared<torch::optim::SGD>(net->head->parameters(), torch::optim::SGDOptions(0.1));
  EXPECT_NE(with(std::make_shared<LibTorchOptimizer>(*net, some))
                .find("TrainingError: the optimizer holds other parameters than the module trains; it lacks \"words"),
            std::string::npos);
}

TEST(LibTorchOptimizer, RefusesWhatItCannotDo) {
  SmallNet net, other;
  EXPECT_EQ(error_message([&] { LibTorchOptimizer(*net, nullptr); }), "OptionError: the optimizer is a null pointer");
  EXPECT_EQ(error_message(
                [&] { LibTorchOptimizer(*net, std::make_shared<torch::optim::SGD>(other->head->parameters(), 0.1)); }),
            "OptionError: the optimizer holds a tensor [2, 8] that is no parameter of the module");
  EXPECT_EQ(error_message([&] { make<torch::optim::LBFGS>(net, torch::optim::LBFGSOptions(1)); }),
            "OptionError: LBFGS asks for the loss several times a step; train with it in a loop of your own");

  struct OwnSgd : torch::optim::Optimizer {
    explicit OwnSgd(std::vector<torch::Tensor> parameters)
        : Optimizer(std::move(parameters), std::make_unique<torch::optim::SGDOptions>(0.1)) {}
    torch::Tensor step(LossClosure) override { return {}; }
  };
  const TemporaryDirectory directory;
  Trainer trainer(
      *net, std::make_shared<LibTorchOptimizer>(*net, std::make_shared<OwnSgd>(tensors_of(trained_parameters(*net)))),
      {.checkpoints = CheckpointOptions{.directory = directory.path()}});
  const SmallTask task(8);
  EXPECT_EQ(error_message([&] { trainer.train(task, [&](const auto& batch) { return net->loss(batch); }); }),
            "StateError: the state of this optimizer cannot be saved; that of LibTorch's SGD, Adam, AdamW, RMSprop and "
            "Adagrad can");
  EXPECT_EQ(trainer.steps_done(), 0) << "said before the training";
}

TEST(LibTorchOptimizer, RefusesAStateThatDoesNotFitAndChangesNothing) {
  SmallNet net;
  const auto optimizer = make<torch::optim::Adam>(net, torch::optim::AdamOptions(0.1));
  net->loss(SmallTask(4).batch(std::vector<std::int64_t>{0, 1})).sum.backward();
  optimizer->step();
  const NamedTensors before = optimizer->state();
  NamedTensors state = before;
  state.pop_back();
  state[1].second = torch::ones({3});
  EXPECT_EQ(
      error_message([&] { optimizer->load_state(state); }),
      "FormatError: the state is of another optimizer; it holds \"words.weight.exp_avg\" as float [3] where float "
      "[50, 8] is needed; it lacks \"head.bias.max_exp_avg_sq\"");
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(optimizer->state()[i].second.equal(before[i].second)) << before[i].first;
}

}  // namespace
}  // namespace graft
