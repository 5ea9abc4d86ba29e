#include "graft/training/log.hpp"

#include <cmath>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <nlohmann/json.hpp>

#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

std::vector<nlohmann::json> lines_of(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

void tell_a_run(TrainingCallback& callback) {
  callback.on_begin({.rows = 40, .epochs = 2, .steps = 4, .trained_values = 100});
  for (std::int64_t step = 1; step <= 4; ++step) {
    callback.on_step({.step = step,
                      .epoch = (step + 1) / 2,
                      .loss = 1.0 / static_cast<double>(step),
                      .lr = 1e-3,
                      .gradient_norm = 0.5,
                      .rows = 20,
                      .tokens = 300,
                      .seconds = 0.25});
  }
  callback.on_evaluation({.step = 4, .epoch = 2, .scores = {{"accuracy", 0.75}, {"loss", NAN}}, .best = true});
  callback.on_end({.reason = StopReason::stopped_early, .steps = 4, .loss = 0.25, .tokens = 1200});
}

TEST(JsonlLog, WritesALineForEachEvent) {
  const TemporaryDirectory directory;
  {
    JsonlLog log(directory / "run.jsonl");
    tell_a_run(log);
  }
  const auto lines = lines_of(directory / "run.jsonl");
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[0], nlohmann::json::parse(R"({"event": "begin", "rows": 40, "epochs": 2, "steps": 4, "steps_done": 0,
                                                "trained_values": 100})"));
  EXPECT_EQ(lines[2], nlohmann::json::parse(R"({"event": "step", "step": 2, "epoch": 1, "loss": 0.5, "lr": 0.001,
                         "gradient_norm": 0.5, "rows": 20, "tokens": 300, "tokens_per_second": 1200.0})"));
  EXPECT_EQ(lines[5], nlohmann::json::parse(R"({"event": "evaluation", "step": 4, "epoch": 2, "best": true,
                         "scores": {"accuracy": 0.75, "loss": null}, "seconds": 0.0})"));
  EXPECT_EQ(lines[6].at("reason"), "stopped early");
}

TEST(JsonlLog, AddsToWhatIsThere) {
  const TemporaryDirectory directory;
  for (int run = 0; run < 2; ++run) {
    JsonlLog log(directory / "run.jsonl");
    tell_a_run(log);
  }
  EXPECT_EQ(lines_of(directory / "run.jsonl").size(), 14u);
}

TEST(JsonlLog, WritesEveryNthStep) {
  const TemporaryDirectory directory;
  JsonlLog log(directory / "run.jsonl", 2);
  tell_a_run(log);
  const auto lines = lines_of(directory / "run.jsonl");  // each line is there once its event is over
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[1].at("step"), 2);
  EXPECT_EQ(lines[2].at("step"), 4);
}

TEST(JsonlLog, SaysWhatItCannotOpen) {
  const TemporaryDirectory directory;
  EXPECT_EQ(error_message([&] { JsonlLog log(directory.path()); }),
            "FileError: cannot open the log \"" + directory.path().string() + "\": Is a directory");
  EXPECT_EQ(error_message([&] { JsonlLog log(directory / "run.jsonl", 0); }),
            "OptionError: a log of every 0 steps; it must be at least 1");
}

}  // namespace
}  // namespace graft
