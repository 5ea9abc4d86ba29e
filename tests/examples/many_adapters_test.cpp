#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <regex>
#include <span>

#include "graft/io/adapter_dir.hpp"
#include "graft/io/model_dir.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it, on MiniLM.

namespace graft {
namespace {

class ManyAdapters : public testing::Test {
 protected:
  void write(const std::string& name, const std::vector<std::pair<std::string, std::string>>& rows) {
    std::ofstream file(directory_ / name);
    file << "text\tlabel\n";
    for (int i = 0; i < 6; ++i) {
      for (const auto& [text, label] : rows) file << text << " " << i << '\t' << label << '\n';
    }
  }

  ProgramResult train(const std::string& arguments) const {
    return run_program("cd '" + directory_.path().string() + "' && " GRAFT_BIN "/many_adapters --batch-size 4 " +
                       (arguments.find("--model") == std::string::npos ? "--model " GRAFT_DEPS "/model " : "") +
                       arguments);
  }

  TemporaryDirectory directory_;
};

TEST_F(ManyAdapters, TrainedTogetherAreThoseTrainedAlone) {
  write("mood.tsv", {{"what a lovely film", "good"}, {"dull from start to end", "bad"}});
  write("kind.tsv", {{"the cat sleeps", "animal"}, {"a bus arrives", "machine"}, {"the oak grows", "plant"}});
  const auto run = train(
      "--task mood=mood.tsv,mood.tsv --task kind=kind.tsv,kind.tsv,5e-4 --epochs 2 --out adapters --compare --threads "
      "1");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  for (const std::string name : {"mood", "kind"}) {
    EXPECT_NE(run.output.find("saved in adapters/" + name + "; read back, it gives the same answers to "),
              std::string::npos)
        << run.output;
    std::smatch found;
    const std::regex line(name + " +alone +[0-9.]+ s, accuracy [0-9.]+, parameters differ by ([0-9.e+-]+)");
    ASSERT_TRUE(std::regex_search(run.output, found, line)) << run.output;
    EXPECT_LT(std::stod(found[1]), 1e-3) << "float32 sums in another order, through Adam's first steps";
    const AdapterDir saved(directory_ / "adapters" / name);
    EXPECT_EQ(saved.config().modules_to_save, std::vector<std::string>{"classifier"});
    EXPECT_EQ(saved.find("classifier.weight")->shape[0], name == "mood" ? 2 : 3);
    EXPECT_EQ(saved.metadata().count("graft.base"), 1u);
  }
}

// Many encoders come without a pooler. It is drawn, and an adapter that did not bring it would be read back on another.
TEST_F(ManyAdapters, WhatTheBaseLacksIsSavedWithEachAdapter) {
  const ModelDir whole(GRAFT_DEPS "/model");
  std::vector<TensorInfo> kept;
  for (const TensorInfo& info : whole.tensors())
    if (info.name.find("pooler") == std::string::npos) kept.push_back(info);
  ASSERT_LT(kept.size(), whole.tensors().size());
  std::vector<std::byte> bytes;
  write_model_dir(directory_ / "base", whole.config(), kept,
                  [&](std::size_t i) {
                    bytes.resize(kept[i].bytes());
                    whole.read(kept[i], bytes);
                    return std::span<const std::byte>(bytes);
                  },
                  {.files = tokenizer_files(GRAFT_DEPS "/model")});
  write("mood.tsv", {{"what a lovely film", "good"}, {"dull from start to end", "bad"}});
  write("kind.tsv", {{"the cat sleeps", "animal"}, {"a bus arrives", "machine"}, {"the oak grows", "plant"}});
  const auto run = train(
      "--model base --task mood=mood.tsv,mood.tsv --task kind=kind.tsv,kind.tsv --out adapters "
      "--max-length 6 --overwrite");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_NE(run.output.find("not in base, drawn once, kept so and saved with each adapter: pooler.dense.weight"),
            std::string::npos)
      << run.output;
  EXPECT_NE(run.output.find("note: mood: 12 of 12 texts are cut to 6 tokens; see --max-length"), std::string::npos)
      << run.output;
  for (const std::string name : {"mood", "kind"}) {
    EXPECT_NE(run.output.find("saved in adapters/" + name + "; read back"), std::string::npos) << run.output;
    EXPECT_NE(AdapterDir(directory_ / "adapters" / name).find("bert.pooler.dense.weight"), nullptr);
  }
}

TEST_F(ManyAdapters, WhatIsWrongIsSaidBeforeTraining) {
  EXPECT_EQ(train("--task mood").output,
            "many_adapters: --task is \"mood\"; write NAME=TRAIN,DEV or NAME=TRAIN,DEV,LR\n");
  EXPECT_EQ(train("--task mood=a,b,fast").output,
            "many_adapters: --task is \"mood=a,b,fast\"; its learning rate must be a number above 0\n");
  EXPECT_EQ(train("--task a=x,y --task a=x,y").output,
            "many_adapters: two tasks are called \"a\"; give each a name of its own\n");
  EXPECT_EQ(train("--task ../a=x,y --out adapters").output,
            "many_adapters: the task \"../a\" cannot be a directory in --out; leave out \"/\" and a leading \".\"\n");
  EXPECT_EQ(train("").exit_code, 106) << "CLI11's code for an option that is needed";
}

}  // namespace
}  // namespace graft
