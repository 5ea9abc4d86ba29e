#include "graft/training/tensorboard_log.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "support/error_message.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft::tensorboard_log_test {
namespace {

StepRecord step_of(std::int64_t number) {
  return {.step = number,
          .epoch = 1 + number / 3,
          .loss = 1.0 / static_cast<double>(number),
          .lr = 1e-3,
          .gradient_norm = 0.5,
          .rows = 20,
          .tokens = 300,
          .seconds = 0.25};
}

/// What TensorBoard reads in a directory: {tag: [[step, value, wall time], ...]}.
Json read_by_tensorboard(const std::filesystem::path& directory) {
  const TemporaryDirectory out;
  run_python("tensorboard_events.py", {directory.string(), (out / "scalars.json").string()});
  return read_json(out / "scalars.json");
}

/// Steps and values of a tag, numbers that are not finite as text.
std::string shown(const Json& points) {
  std::string text;
  for (const Json& point : points)
    text += point[0].dump() + ":" + (point[1].is_string() ? point[1].get<std::string>() : point[1].dump()) + " ";
  return text;
}

TEST(TensorBoardLog, IsReadByTensorBoard) {
  const TemporaryDirectory directory;
  {
    TensorBoardLog log(directory / "runs" / "first", 2);
    log.on_begin({.rows = 40, .epochs = 2, .steps = 4});
    for (std::int64_t step = 1; step <= 4; ++step) log.on_step(step_of(step));
    log.on_evaluation({.step = 4, .epoch = 2, .scores = {{"accuracy", 0.75}, {"loss", NAN}}, .best = true});
    log.add(std::int64_t{1} << 40, {{"mine/\u00E9", -std::numeric_limits<double>::infinity()}});
    log.on_end({.steps = 4});
  }
  const Json read = read_by_tensorboard(directory / "runs" / "first");
  EXPECT_EQ(read.size(), 8u) << read.dump();
  EXPECT_EQ(shown(read.at("train/loss")), "2:0.5 4:0.25 ");
  EXPECT_EQ(shown(read.at("train/learning_rate")),
            message("2:", Json(double{1e-3f}).dump(), " 4:", Json(double{1e-3f}).dump(), " "));
  EXPECT_EQ(shown(read.at("train/gradient_norm")), "2:0.5 4:0.5 ");
  EXPECT_EQ(shown(read.at("train/tokens_per_second")), "2:1200.0 4:1200.0 ");
  EXPECT_EQ(shown(read.at("train/epoch")), "2:1.0 4:2.0 ");
  EXPECT_EQ(shown(read.at("eval/accuracy")), "4:0.75 ");
  EXPECT_EQ(shown(read.at("eval/loss")), "4:nan ");
  EXPECT_EQ(shown(read.at("mine/\u00E9")), "1099511627776:-inf ");
  const double wall = read.at("train/loss")[0][2].get<double>();
  EXPECT_NEAR(wall, static_cast<double>(std::time(nullptr)), 600);
}

TEST(TensorBoardLog, WhatAKilledRunLeavesIsReadUpToItsLastWholeRecord) {
  const TemporaryDirectory directory;
  TensorBoardLog log(directory.path());
  for (std::int64_t step = 1; step <= 3; ++step) {
    log.on_step(step_of(step));
    // The log is still open: nothing of it may wait in memory.
    EXPECT_EQ(read_by_tensorboard(directory.path()).at("train/loss").size(), static_cast<std::size_t>(step));
  }
  std::filesystem::resize_file(log.path(), std::filesystem::file_size(log.path()) - 3);
  EXPECT_EQ(shown(read_by_tensorboard(directory.path()).at("train/epoch")), "1:1.0 2:1.0 ");
}

TEST(TensorBoardLog, ARunThatGoesOnAddsAFile) {
  const TemporaryDirectory directory;
  for (std::int64_t part = 0; part < 2; ++part) {
    TensorBoardLog log(directory.path());
    for (std::int64_t step = 1; step <= 2; ++step) log.on_step(step_of(2 * part + step));
    EXPECT_TRUE(log.path().filename().string().starts_with("events.out.tfevents."));
  }
  EXPECT_EQ(list_directory(directory.path()).size(), 2u);
  EXPECT_EQ(shown(read_by_tensorboard(directory.path()).at("train/loss")), "1:1.0 2:0.5 3:0.3333333432674408 4:0.25 ");
}

TEST(TensorBoardLog, SaysWhatItCannotDo) {
  const TemporaryDirectory directory;
  EXPECT_EQ(error_message([&] { TensorBoardLog log(directory / "new", 0); }),
            "OptionError: a log of every 0 steps; it must be at least 1");
  EXPECT_FALSE(path_exists(directory / "new"));
  TensorBoardLog log(directory.path());
  const std::string error = error_message([&] { TensorBoardLog(log.path()); });
  EXPECT_NE(error.find("FileError: cannot "), std::string::npos) << error;
  EXPECT_NE(error.find(log.path().string()), std::string::npos) << error;
}

}  // namespace
}  // namespace graft::tensorboard_log_test
