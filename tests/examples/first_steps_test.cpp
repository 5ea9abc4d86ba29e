#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "examples/review_slices.hpp"
#include "graft/io/adapter_dir.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The file that newcomers copy, on 320 clear reviews.

namespace graft {
namespace {

TEST(FirstSteps, LearnsSavesReadsBackAndPredicts) {
  const TemporaryDirectory directory;
  write_review_slices(directory.path(), 160, 32, 2.0);
  const auto path = [&](const char* name) { return " " + (directory / name).string(); };
  const auto run = run_program(GRAFT_BIN "/first_steps " GRAFT_DEPS "/model" + path("train.tsv") + path("test.tsv") +
                               path("adapter"));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  std::smatch found;
  ASSERT_TRUE(std::regex_search(run.output, found, std::regex("([0-9.]+) % of 64 texts it never saw"))) << run.output;
  EXPECT_GT(std::stod(found[1]), 65.0) << "guessing gives 50; it was 79.7 when written";
  EXPECT_TRUE(std::regex_search(run.output, std::regex("and funny too\\. -> (positive|negative)\n"))) << run.output;
  const AdapterDir saved(directory / "adapter");
  EXPECT_EQ(saved.config().base_model_name_or_path, GRAFT_DEPS "/model");
  EXPECT_NE(saved.find("classifier.weight"), nullptr);
  EXPECT_EQ(saved.metadata().at("labels"), "[\"negative\",\"positive\"]");
}

TEST(FirstSteps, SaysWhatItNeeds) {
  const auto run = run_program(GRAFT_BIN "/first_steps");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(run.output.find("first_steps: usage: first_steps MODEL TRAIN.tsv TEST.tsv OUT"), std::string::npos)
      << run.output;
}

TEST(FirstSteps, IsShort) {
  std::ifstream file(GRAFT_ROOT "/examples/first_steps/main.cpp");
  int lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  EXPECT_GT(lines, 20);
  EXPECT_LE(lines, 60) << "a newcomer copies it";
}

}  // namespace
}  // namespace graft
