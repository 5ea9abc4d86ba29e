#include "graft/training/checkpoint.hpp"

#include <fstream>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"
#include "training/small_task.hpp"

namespace graft {
namespace {

using graft_test::largest_difference;
using graft_test::SmallNet;
using graft_test::SmallTask;

namespace fs = std::filesystem;

Checkpoint small_checkpoint() {
  return {.state = {{"step", 3}, {"name", "a"}},
          .tensors = {{"module", {{"w", torch::arange(3.0)}, {"n", torch::tensor({1, 2}, torch::kLong)}}},
                      {"optimizer", {{"w.step", torch::ones({})}}}}};
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Checkpoint, ComesBackAsItWas) {
  const TemporaryDirectory directory;
  save_checkpoint(directory / "a", small_checkpoint());
  EXPECT_EQ(names_in(directory / "a"), (std::vector<std::string>{".graft_files", "checkpoint.json",
                                                                 "module.safetensors", "optimizer.safetensors"}));
  const auto loaded = load_checkpoint(directory / "a");
  EXPECT_EQ(loaded.state, small_checkpoint().state);
  ASSERT_EQ(loaded.tensors.size(), 2u);
  std::map<std::string, torch::Tensor> module(loaded.tensors.at("module").begin(), loaded.tensors.at("module").end());
  EXPECT_TRUE(module.at("w").equal(torch::arange(3.0)));
  EXPECT_TRUE(module.at("n").equal(torch::tensor({1, 2}, torch::kLong)));
  EXPECT_TRUE(loaded.tensors.at("optimizer")[0].second.equal(torch::ones({})));
}

TEST(Checkpoint, ReplacesAnEarlierOneAndNothingElse) {
  const TemporaryDirectory directory;
  save_checkpoint(directory / "a", small_checkpoint());
  auto second = small_checkpoint();
  second.state["step"] = 4;
  save_checkpoint(directory / "a", second);
  EXPECT_EQ(load_checkpoint(directory / "a").state["step"], 4);
  EXPECT_EQ(names_in(directory.path()), std::vector<std::string>{"a"});

  fs::create_directory(directory / "photos");
  write_file(directory / "photos" / "one.txt", "1");
  save_checkpoint(directory / "photos", second);  // what is in its way is set aside
  EXPECT_EQ(load_checkpoint(directory / "photos").state["step"], 4);
  EXPECT_EQ(names_in(directory / "photos-damaged-1"), std::vector<std::string>{"one.txt"});

  write_file(directory / "a" / "module.safetensors", "damaged");
  remove_checkpoint(directory / "a");
  EXPECT_TRUE(fs::exists(directory / "a")) << "it is not as it was written";
  save_checkpoint(directory / "a", second);
  EXPECT_EQ(load_checkpoint(directory / "a").state["step"], 4);
  EXPECT_TRUE(fs::exists(directory / "a-damaged-1"));
}

TEST(Checkpoint, SeesEveryByteThatChanges) {
  const TemporaryDirectory directory;
  const auto path = directory / "a";
  save_checkpoint(path, small_checkpoint());
  const auto good = load_checkpoint(path);
  for (const auto& name : names_in(path)) {
    const std::string content = read_file(path / name, 1 << 20);
    for (std::size_t at = 0; at < content.size(); ++at) {
      std::string damaged = content;
      damaged[at] = static_cast<char>(damaged[at] ^ 4);
      std::ofstream(path / name, std::ios::binary) << damaged;
      try {
        const auto loaded = load_checkpoint(path);
        // White space between values, or a letter of the file's own metadata, may change: nothing that is loaded does.
        EXPECT_EQ(loaded.state, good.state) << name << ", byte " << at;
        for (const auto& [part, tensors] : good.tensors) {
          ASSERT_EQ(loaded.tensors.at(part).size(), tensors.size()) << name << ", byte " << at;
          for (std::size_t i = 0; i < tensors.size(); ++i) {
            EXPECT_EQ(loaded.tensors.at(part)[i].first, tensors[i].first) << name << ", byte " << at;
            EXPECT_TRUE(loaded.tensors.at(part)[i].second.equal(tensors[i].second)) << name << ", byte " << at;
          }
        }
      } catch (const Error&) {
      }
    }
    std::ofstream(path / name, std::ios::binary) << content;
  }
}

TEST(Checkpoint, SaysWhatIsDamaged) {
  const TemporaryDirectory directory;
  const auto path = directory / "a";
  save_checkpoint(path, small_checkpoint());
  const auto tensors = path / "module.safetensors";
  std::string content = read_file(tensors, 1 << 20);
  content.back() = static_cast<char>(content.back() ^ 1);
  std::ofstream(tensors, std::ios::binary) << content;
  const std::string text = error_message([&] { load_checkpoint(path); });
  EXPECT_TRUE(text.starts_with("FormatError: \"" + tensors.string() + "\": \"") &&
              text.ends_with("\" has changed since it was written"))
      << text;
  fs::remove(path / "checkpoint.json");
  EXPECT_NE(error_message([&] { load_checkpoint(path); }).find("FileError"), std::string::npos);
}

TEST(Checkpoint, RefusesNamesThatLeaveTheDirectory) {
  const TemporaryDirectory directory;
  Checkpoint escaping{.state = Json::object(), .tensors = {{"../up", {}}}};
  EXPECT_EQ(error_message([&] { save_checkpoint(directory / "a", escaping); }),
            "FormatError: a checkpoint cannot hold a file named \"../up\"; use letters a to z and _");
  EXPECT_TRUE(names_in(directory.path()).empty());
}

TEST(FindCheckpoint, TakesTheNewestSoundOneAndSaysWhatItPassedOver) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(find_checkpoint(directory.path()));
  EXPECT_FALSE(find_checkpoint(directory / "not there"));
  for (const std::int64_t step : {9, 10, 1000000}) {
    save_checkpoint(checkpoint_path(directory.path(), step), small_checkpoint());
  }
  fs::create_directory(directory / "step-000abc");
  EXPECT_EQ(checkpoint_steps(directory.path()), (std::vector<std::int64_t>{9, 10, 1000000}));
  fs::remove(directory.path() / "step-1000000" / "checkpoint.json");
  const auto found = find_checkpoint(directory.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path.filename(), "step-000010");
  ASSERT_EQ(found->passed_over.size(), 1u);
  EXPECT_NE(found->passed_over[0].find("step-1000000"), std::string::npos);

  for (const std::int64_t step : {9, 10}) fs::remove(checkpoint_path(directory.path(), step) / "checkpoint.json");
  const std::string text = error_message([&] { find_checkpoint(directory.path()); });
  EXPECT_TRUE(text.starts_with("FormatError: none of the 3 checkpoints in ")) << text;
}

// ---- A run and its continuation ----

struct Losses : TrainingCallback {
  void on_step(const StepRecord& step) override { of[step.step] = step.loss; }
  std::map<std::int64_t, double> of;
};

/// Everything that a checkpoint has to carry: dropout, batches in random order by length, accumulation, decay, warm-up.
TrainerOptions demanding(const fs::path& checkpoints) {
  return {.length = Steps{50},
          .batch = Sequences{4},
          .accumulate = 2,
          .lr = 1e-2,
          .warmup = Share{0.1},
          .schedule = CosineDecay{},
          .weight_decay = 0.1,
          .evaluate_every = Steps{7},
          .keep_best = true,
          .checkpoints = CheckpointOptions{.directory = checkpoints, .every = Steps{1}, .keep = 1000}};
}

struct SmallRun {
  SmallNet net{0.3};
  std::shared_ptr<Losses> losses = std::make_shared<Losses>();
  std::unique_ptr<Trainer> trainer;

  explicit SmallRun(const TrainerOptions& options) : trainer(std::make_unique<Trainer>(*net, options)) {
    trainer->add(losses);
  }
  TrainingResult go(const SmallTask& task) {
    return trainer->train(
        task, [&](const SmallTask::Batch& batch) { return net->loss(batch); },
        [&] {
          return Scores{{"loss", net->head->weight.sum().item<double>()}};
        });
  }
};

TEST(Resume, GivesTheVeryLossesOfAnUninterruptedRunFromEveryStep) {
  const TemporaryDirectory directory;
  const SmallTask task(70);
  SmallRun whole(demanding(directory / "whole"));
  const auto result = whole.go(task);
  ASSERT_EQ(whole.losses->of.size(), 50u);
  for (std::int64_t step = 1; step <= 50; ++step) {
    auto options = demanding(directory / "again");
    options.checkpoints.reset();
    SmallRun again(options);
    EXPECT_TRUE(again.trainer->resume(checkpoint_path(directory / "whole", step)).empty());
    EXPECT_EQ(again.trainer->steps_done(), step);
    const auto continued = again.go(task);
    auto expected = whole.losses->of;
    expected.erase(expected.begin(), expected.upper_bound(step));
    EXPECT_EQ(again.losses->of, expected) << "from step " << step;
    EXPECT_EQ(largest_difference(*whole.net, *again.net), 0.0) << "from step " << step;
    EXPECT_EQ(continued.best->step, result.best->step) << "from step " << step;
    EXPECT_EQ(continued.best->scores, result.best->scores) << "from step " << step;
  }
}

TEST(Resume, NeedsTheSameModuleBaseAndSeed) {
  const TemporaryDirectory directory;
  const SmallTask task(70);
  auto options = demanding(directory / "run");
  options.length = Steps{2};
  SmallRun first(options);
  first.net->words->weight.requires_grad_(false);
  first.trainer = std::make_unique<Trainer>(*first.net, options);
  first.go(task);
  const auto path = checkpoint_path(directory / "run", 2);

  SmallRun other(options);
  const std::string text = error_message([&] { other.trainer->resume(path); });
  EXPECT_EQ(text,
            "FormatError: \"" + path.string() +
                "\" does not fit this trainer; it lacks \"words.weight\"; its optimizer lacks "
                "\"words.weight.exp_avg\"; its optimizer lacks \"words.weight.exp_avg_sq\"; its optimizer lacks "
                "\"words.weight.step\"; its best evaluation lacks \"words.weight\"; the frozen parameters are others");

  options.seed = 1;
  SmallRun base(options);
  base.net->words->weight.requires_grad_(false);
  {
    const torch::NoGradGuard no_grad;
    base.net->words->weight[0][0].add_(1e-3);
  }
  Trainer trainer(*base.net, options);
  const auto before = base.net->head->weight.clone();
  EXPECT_EQ(error_message([&] { trainer.resume(path); }),
            "FormatError: \"" + path.string() +
                "\" does not fit this trainer; the frozen parameters are others; its seed is 42, not 1");
  EXPECT_TRUE(base.net->head->weight.equal(before)) << "nothing was changed";
  EXPECT_EQ(trainer.steps_done(), 0);
}

TEST(Resume, NeedsTheSameData) {
  const TemporaryDirectory directory;
  auto options = demanding(directory / "run");
  options.length = Steps{20};
  SmallRun first(options);
  first.go(SmallTask(70));
  options.checkpoints.reset();
  SmallRun second(options);
  second.trainer->resume(checkpoint_path(directory / "run", 5));
  EXPECT_EQ(error_message([&] { second.go(SmallTask(70, 99)); }),
            "StateError: this is not the run that was begun: it had 20 steps, this one has 20, and the batches are "
            "others; go on with the same data and options, or begin a run with a new trainer");
}

TEST(Resume, MayMakeTheRunLonger) {
  const TemporaryDirectory directory;
  const SmallTask task(70);
  auto options = demanding(directory / "run");
  options.length = Steps{5};
  SmallRun(options).go(task);
  options.length = Steps{9};
  SmallRun longer(options);
  const std::vector<std::string> told = longer.trainer->resume(checkpoint_path(directory / "run", 5));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0],
            "the run was to be of 5 steps and is of 9 steps: what the schedule makes of the steps to come is another");
  EXPECT_EQ(longer.go(task).steps, 9);
  EXPECT_EQ(longer.losses->of.size(), 4u);

  options.length = Steps{3};
  SmallRun shorter(options);
  shorter.trainer->resume(checkpoint_path(directory / "run", 5));
  EXPECT_EQ(error_message([&] { shorter.go(task); }),
            "StateError: 5 steps are made already, and the run is to be of 3; make it longer, or begin another");
  SmallRun other(options);
  other.trainer->resume(checkpoint_path(directory / "run", 2));
  EXPECT_NE(error_message([&] { other.go(SmallTask(70, 99)); }).find("the batches are others"), std::string::npos);
}

TEST(Resume, TellsADifferentNumberOfThreads) {
  const TemporaryDirectory directory;
  auto options = demanding(directory / "run");
  options.length = Steps{1};
  SmallRun first(options);
  first.go(SmallTask(70));
  auto checkpoint = load_checkpoint(checkpoint_path(directory / "run", 1));
  const auto threads = std::to_string(torch::get_num_threads());
  checkpoint.state["threads"] = torch::get_num_threads() + 1;
  SmallRun second(options);
  EXPECT_EQ(second.trainer->resume(checkpoint, "the checkpoint"),
            std::vector<std::string>{"the number of threads was " + std::to_string(torch::get_num_threads() + 1) +
                                     " and is " + threads + ": the bits may differ"});
}

TEST(Checkpoints, KeepTheNewestAndTheOneResumedFrom) {
  const TemporaryDirectory directory;
  const SmallTask task(70);
  auto options = demanding(directory.path());
  options.length = Steps{12};
  options.checkpoints->every = Steps{2};
  options.checkpoints->keep = 2;
  std::atomic<bool> stop{false};
  options.stop = &stop;
  struct StopAt : TrainingCallback {
    explicit StopAt(std::atomic<bool>& flag) : flag(flag) {}
    void on_step(const StepRecord& step) override { flag = step.step == 5; }
    std::atomic<bool>& flag;
  };
  SmallRun first(options);
  first.trainer->add(std::make_shared<StopAt>(stop));
  EXPECT_EQ(first.go(task).reason, StopReason::interrupted);
  EXPECT_EQ(checkpoint_steps(directory.path()), (std::vector<std::int64_t>{4, 5})) << "an interrupted run is saved";

  stop = false;
  SmallRun fresh(options);
  EXPECT_EQ(error_message([&] { fresh.go(task); }), "OptionError: \"" + directory.path().string() +
                                                        "\" holds checkpoints of another run; resume it, or choose "
                                                        "another directory");
  const auto found = find_checkpoint(directory.path());
  SmallRun second(options);
  second.trainer->resume(found->checkpoint, found->path.string());
  second.go(task);
  EXPECT_EQ(checkpoint_steps(directory.path()), (std::vector<std::int64_t>{5, 10, 12}));
}

}  // namespace
}  // namespace graft
