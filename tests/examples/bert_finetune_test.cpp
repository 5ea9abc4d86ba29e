#include <gtest/gtest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "examples/review_slices.hpp"
#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/io/safetensors.hpp"
#include "support/error_message.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it, on 96 reviews.

namespace bert_finetune_test {
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
  EXPECT_NE(run.output.find("read back, it gives the same answers"), std::string::npos) << run.output;
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
  const auto predict = run_program(program + " predict --model " + model + " --adapter " + path("adapter") +
                                       " --max-length 32 --json 2> " + path("notes"),
                                   texts);
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
    const auto run =
        run_program(finetune("--dtype bfloat16 --method " + method + " --test " + path("train.tsv") + " --out " +
                                 path(method) + " --json " + path("report.json") + " --overwrite",
                             4));
    ASSERT_EQ(run.exit_code, 0) << run.output;
    EXPECT_NE(run.output.find("read back, it gives the same answers"), std::string::npos) << run.output;
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
      finetune("--method lora --out " + path("adapter") + " --checkpoints " + path("state"), 12);
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
  std::filesystem::create_directory(directory_ / "project");  // somebody's, with a config.json and more
  std::ofstream(directory_ / "project/config.json") << "{}";
  std::ofstream(directory_ / "project/thesis.tex") << "a year's work";
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
      {good + " --method lora --rank 0", "--rank: is 0; give a whole number from 1 on"},
      {good + " --method lora --rank 385", "rank is 385"},
      {good + " --method lora --targets qurey", "\"qurey\""},
      {good + " --method full --lr 1e30", "loss is"},
      {good + " --epochs 0", "--epochs: is 0; give a whole number from 1 on"},
      {good + " --max-length -1", "--max-length: is -1"},
      {good + " --seed -1", "--seed: is -1"},
      {good + " --method lora --alpha 1e30", "--alpha"},
      {good + " --lr 0", "--lr: is 0; give a number above 0"},
      {good + " --warmup 2", "--warmup: is 2; give a number from 0 to 1"},
      {good + " --method lora --alpha nan", "--alpha: is nan; give a number from 0 to 1e+09"},
      {good + " --method lora --rank x", "--rank: is x; give a whole number from 1 on"},
      {good + " --threads -1", "--threads: is -1; give a whole number from 0 to 1024"},
      {good + " --out ''", "--out: must not be empty"},
      {good + " --json /dev/null", "it is a device or a pipe"},
      {good + " --json " + path("train.tsv"), "is named twice"},
      {good + " --json " + path("test.tsv"), "is named twice"},
      {good + " --out " + path("o") + " --checkpoints " + path("o/state"), "which this run uses too"},
      {good + " --checkpoints " + path("train.tsv"), "train.tsv"},
      {good + " --max-length 1", "max_length"},
      {good + " --method tree", "tree"},
      {good + " --out " + path("project") + " --overwrite", "is not overwritten: it is not one that graft wrote"},
      {good + " --out " + path("project"), "is there already and not empty"},
      {good + " --out " + directory_.path().string(), "train.tsv\", which this run uses too"},
      {"predict --model " + model, "has no classifier"},
      {"predict --model " + model + " --adapter " + model, "adapter_config.json"},
  };
  for (const auto& row : rows) {
    const auto run = run_program(program + " " + row.arguments + " --threads 2");
    EXPECT_NE(run.exit_code, 0) << row.arguments;
    EXPECT_NE(run.output.find(row.says), std::string::npos) << row.arguments << "\n" << run.output;
    EXPECT_EQ(run.output.find("terminate called"), std::string::npos) << row.arguments;
    if (row.says == "loss is") continue;  // nobody can know it before
    EXPECT_EQ(run.output.find("tokens/s"), std::string::npos) << "said before the training: " << row.arguments;
  }
  EXPECT_EQ(graft::read_file(path("project/thesis.tex"), 100), "a year's work");
}

TEST_F(BertFinetune, ReplacesItsOwnOutputAlone) {
  const std::string command = finetune("--method lora --out " + path("adapter") + " --json " + path("report.json"));
  ASSERT_EQ(run_program(command).exit_code, 0);
  EXPECT_NE(run_program(command).output.find("is there already and not empty"), std::string::npos);
  EXPECT_EQ(run_program(command + " --overwrite").exit_code, 0);
  std::ofstream(directory_ / "adapter/notes.md") << "what I found";
  const auto run = run_program(command + " --overwrite");
  EXPECT_NE(run.output.find("it holds \"notes.md\", which graft did not write"), std::string::npos) << run.output;
  EXPECT_EQ(graft::read_file(path("adapter/notes.md"), 100), "what I found");
}

// A base whose file has no pooler: what is drawn for it is trained and saved with the adapter.
TEST_F(BertFinetune, WhatTheBaseLacksIsSaved) {
  const std::filesystem::path bare = directory_ / "bare";
  std::filesystem::create_directory(bare);
  for (const char* name : {"config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json"}) {
    if (std::filesystem::exists(std::filesystem::path(model) / name))
      std::filesystem::copy(std::filesystem::path(model) / name, bare / name);
  }
  const graft::SafetensorsFile whole(model + "/model.safetensors");
  std::vector<std::vector<std::byte>> bytes;
  std::vector<graft::TensorBytes> tensors;
  for (const graft::TensorInfo& info : whole.tensors()) {
    if (info.name.find("pooler") != std::string::npos) continue;
    bytes.emplace_back(info.end - info.begin);
    whole.read(info, bytes.back());
  }
  std::size_t next = 0;
  for (const graft::TensorInfo& info : whole.tensors()) {
    if (info.name.find("pooler") != std::string::npos) continue;
    tensors.push_back({info.name, info.type, info.shape, bytes[next++]});
  }
  ASSERT_LT(tensors.size(), whole.tensors().size());
  graft::write_safetensors(bare / "model.safetensors", tensors);
  const auto run =
      run_program(program + " --model " + bare.string() + " --train " + path("train.tsv") +
                  " --batch-size 16 --max-length 32 --threads 2 --epochs 1 --method lora --out " + path("adapter"));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_NE(run.output.find("trained in full: bert.pooler.dense"), std::string::npos) << run.output;
  const graft::Json config = graft::read_json(path("adapter/adapter_config.json"));
  EXPECT_EQ(config.at("modules_to_save"), (graft::Json{"bert.pooler", "classifier"}));
}

TEST_F(BertFinetune, GoesOnWithTheRunThatWasBegunOnly) {
  const std::string state = " --checkpoints " + path("state") + " --method lora";
  ASSERT_EQ(run_program(finetune(state + " --out " + path("a"))).exit_code, 0);
  const auto other = run_program(finetune(state + " --alpha 64 --dropout 0.3 --lr 5e-4 --out " + path("b")));
  EXPECT_EQ(other.exit_code, 1);
  for (const char* says : {"--alpha was 16 and is 64", "--dropout was 0.1 and is 0.3", "lr was 0.001 and is 0.0005"})
    EXPECT_NE(other.output.find(says), std::string::npos) << says << " in " << other.output;

  std::string rows = graft::read_file(path("train.tsv"), 1 << 20);
  const std::size_t label = rows.find("\tpositive\n");
  ASSERT_NE(label, std::string::npos);
  rows.replace(label, 10, "\tnegative\n");
  std::ofstream(directory_ / "train.tsv") << rows;
  const auto corrected = run_program(finetune(state + " --out " + path("b"), 2));
  EXPECT_NE(corrected.output.find("texts or labels have changed since"), std::string::npos) << corrected.output;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "b"));
}

TEST_F(BertFinetune, SaysWhatIsOddAboutLabelsAndTexts) {
  const auto train = [&](const std::string& rows) {
    std::ofstream(directory_ / "train.tsv") << "text\tlabel\n" << rows;
    return run_program(finetune("--method lora --rank 1 --test " + path("train.tsv"))).output;
  };
  const auto says = [](const std::string& output, const std::string& what) {
    EXPECT_NE(output.find(what), std::string::npos) << what << " in " << output;
  };
  const std::string odd = train("good\tyes\nbad\tno\nfine\tyes \nso\t \n");
  says(odd, "1 row without a label, the first " + path("train.tsv, line 5"));
  says(odd,
       "the labels \"yes\" and \"yes \" (1 row, the first " + path("train.tsv, line 4") + ") differ by blanks alone");
  std::string text;
  for (int i = 0; i < 40; ++i) text += "word ";
  const std::string noted = train("good\tyes\nbad\tno\ngood\tno\nfine\tYes\n" + text + "\tno\n");
  says(noted, "note: the labels \"Yes\" and \"yes\" differ by case alone, and are two classes");
  says(noted, "note: the class \"Yes\" has one row, " + path("train.tsv, line 5"));
  says(noted, "note: 1 row repeats a text under another label, the first \"good\"");
  says(noted, "note: 1 of 5 texts are cut to 32 tokens; see --max-length");
}

TEST_F(BertFinetune, OutputThatCannotBeWrittenIsAnError) {
  const auto run = run_program(program + " --help > /dev/full");
  EXPECT_NE(run.exit_code, 0);
}

}  // namespace
}  // namespace bert_finetune_test
