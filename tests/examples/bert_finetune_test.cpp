#include <gtest/gtest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "examples/review_slices.hpp"
#include "graft/core/json.hpp"
#include "support/error_message.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it, on 96 reviews.

namespace {

const std::string program = GRAFT_BIN "/bert_finetune";
const std::string model = GRAFT_DEPS "/model";

/// A directory with train.tsv and test.tsv, cut from the movie reviews.
class BertFinetune : public testing::Test {
 protected:
  void SetUp() override { write_review_slices(directory_.path()); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  std::string finetune(const std::string& more, int epochs = 1) const {
    return program + " --model " + model + " --train " + path("train.tsv") +
           " --batch-size 16 --max-length 32 --threads 2 --epochs " + std::to_string(epochs) + " " + more;
  }

  graft::Json report() const { return graft::read_json(path("report.json")); }

  TemporaryDirectory directory_;
};

TEST_F(BertFinetune, LoraIsSavedAndPredictsWhatItWasJudgedBy) {
  const auto run = run_program(finetune("--method lora --lr 3e-3 --test " + path("test.tsv") + " --out " +
                                            path("adapter") + " --json " + path("report.json"),
                                        3));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_NE(run.output.find("read back: accuracy"), std::string::npos) << run.output;
  EXPECT_NE(run.output.find("tokens/s"), std::string::npos) << run.output;
  EXPECT_EQ(report()["trainable_parameters"], 74498);
  EXPECT_EQ(report()["total_parameters"], 22787714);
  EXPECT_EQ(report()["saved_bytes"], std::filesystem::file_size(directory_ / "adapter/adapter_model.safetensors"));

  // As many texts as one batch of the program does not hold.
  std::ifstream in(directory_ / "test.tsv");
  std::string texts, line;
  std::vector<std::string> labels;
  for (std::getline(in, line); std::getline(in, line);) {
    texts += line.substr(0, line.find('\t')) + "\n";
    labels.push_back(line.substr(line.find('\t') + 1));
  }
  const auto predict = run_program(
      program + " predict --model " + model + " --adapter " + path("adapter") + " --max-length 32 --json", texts);
  ASSERT_EQ(predict.exit_code, 0) << predict.output;
  std::istringstream lines(predict.output);
  std::size_t row = 0, right = 0;
  for (; std::getline(lines, line); ++row) {
    const auto answer = graft::parse_json(line, "predict");
    ASSERT_EQ(answer["probabilities"].size(), 2u);
    EXPECT_NEAR(answer["probabilities"][0].get<double>() + answer["probabilities"][1].get<double>(), 1.0, 1e-12);
    ASSERT_LT(row, labels.size());
    right += answer["label"] == labels[row];
  }
  EXPECT_EQ(row, labels.size());
  EXPECT_DOUBLE_EQ(static_cast<double>(right) / static_cast<double>(row), report()["test_accuracy"].get<double>());
}

TEST_F(BertFinetune, FullIsSavedAsAModelDirectory) {
  const auto run = run_program(finetune("--method full --test " + path("test.tsv") + " --out " + path("tuned") +
                                        " --json " + path("report.json")));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(report()["trainable_parameters"], 22713986);
  const auto config = graft::read_json(path("tuned/config.json"));
  EXPECT_EQ(config["id2label"]["1"], "positive");
  const auto predict = run_program(program + " predict --model " + path("tuned"), "A delight.\n\n");
  EXPECT_EQ(predict.exit_code, 0) << predict.output;
  EXPECT_EQ(std::count(predict.output.begin(), predict.output.end(), '\n'), 2) << predict.output;
}

TEST_F(BertFinetune, TrainsInBfloat16) {
  for (const std::string method : {"full", "lora"}) {
    const auto run = run_program(finetune("--dtype bfloat16 --method " + method + " --test " + path("train.tsv") +
                                              " --out " + path(method) + " --json " + path("report.json"),
                                          4));
    ASSERT_EQ(run.exit_code, 0) << run.output;
    EXPECT_NE(run.output.find("read back: accuracy"), std::string::npos) << run.output;
    EXPECT_GT(report()["test_accuracy"].get<double>(), 0.8) << method;
    const auto saved = report()["saved_bytes"].get<double>(),
               parameters = report()["trainable_parameters"].get<double>();
    EXPECT_NEAR(saved, 2 * parameters, 2e5) << method;
  }
}

TEST_F(BertFinetune, SameSeedSameModel) {
  for (const std::string name : {"a", "b"}) {
    const auto run = run_program(finetune("--method lora --out " + path(name)));
    ASSERT_EQ(run.exit_code, 0) << run.output;
  }
  const auto bytes = [&](const std::string& name) {
    return graft::read_file(path(name + "/adapter_model.safetensors"), 1 << 24);
  };
  EXPECT_EQ(bytes("a"), bytes("b"));
}

TEST_F(BertFinetune, AnInterruptedRunSavesNothingButGoesOnFromItsCheckpoint) {
  const std::string command =
      finetune("--method lora --out " + path("adapter") + " --checkpoints " + path("state"), 40);
  // The interrupt comes once the first step is shown, a tenth of the run away from the end at the least.
  const auto run = run_program(command + " & child=$!; while kill -0 $child 2>/dev/null && [ ! -e " + path("state") +
                               "/step-000006 ]; do sleep 0.05; done; kill -INT $child; wait $child");
  EXPECT_EQ(run.exit_code, 130) << run.output;
  EXPECT_NE(run.output.find("nothing was saved but the checkpoint"), std::string::npos) << run.output;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "adapter"));

  const auto rest = run_program(command);
  EXPECT_EQ(rest.exit_code, 0) << rest.output;
  EXPECT_NE(rest.output.find("going on from step"), std::string::npos) << rest.output;
  EXPECT_TRUE(std::filesystem::exists(directory_ / "adapter/adapter_model.safetensors"));
}

TEST_F(BertFinetune, BadInputIsNamed) {
  std::ofstream(directory_ / "empty.tsv").close();
  std::ofstream(directory_ / "header.tsv") << "text\tlabel\n";
  std::ofstream(directory_ / "one_class.tsv") << "text\tlabel\ngood\tyes\nfine\tyes\n";
  std::ofstream(directory_ / "ragged.tsv") << "text\tlabel\ngood\tyes\nbad\n";
  std::ofstream(directory_ / "other.tsv") << "text\tlabel\ngood\tneither\n";
  const std::string base = " --model " + model + " --dev " + path("test.tsv");
  const std::string good = base + " --train " + path("train.tsv");
  const struct {
    std::string arguments, says;
  } rows[] = {
      {"", "--model and --train are needed"},
      {"--model /nowhere --out x --train " + path("train.tsv"), "/nowhere: there is no such file or directory"},
      {base + " --train " + path("missing.tsv"), "missing.tsv\": No such file"},
      {base + " --train " + path("empty.tsv"), "empty.tsv"},
      {base + " --train " + path("header.tsv"), "header.tsv"},
      {base + " --train " + path("one_class.tsv"), "every row has the label \"yes\""},
      {base + " --train " + path("ragged.tsv"), "ragged.tsv, line 3"},
      {good + " --label-column sentiment", "\"sentiment\""},
      {good + " --test " + path("other.tsv"), "other.tsv, line 2: label \"neither\" does not occur"},
      {good + " --method lora --rank 0", "rank is 0"},
      {good + " --method lora --rank 385", "rank is 385"},
      {good + " --method lora --targets qurey", "\"qurey\""},
      {good + " --method lora --alpha nan", "alpha is nan"},
      {good + " --lr 0", "lr is 0"},
      {good + " --method full --lr 1e30", "loss is"},
      {good + " --epochs 0", "length is 0, it must be at least 1"},
      {good + " --max-length 1", "max_length"},
      {good + " --method tree", "tree"},
      {good + " --out " + directory_.path().string(), "is not empty"},
      {"predict --model " + model, "has no classifier"},
      {"predict --model " + model + " --adapter " + model, "adapter_config.json"},
  };
  for (const auto& row : rows) {
    const auto run = run_program(program + " " + row.arguments + " --threads 2");
    EXPECT_NE(run.exit_code, 0) << row.arguments;
    EXPECT_NE(run.output.find(row.says), std::string::npos) << row.arguments << "\n" << run.output;
    EXPECT_EQ(run.output.find("terminate called"), std::string::npos) << row.arguments;
  }
}

}  // namespace
