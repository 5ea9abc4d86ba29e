#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "examples/small_language_model.hpp"
#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/io/adapter_dir.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it: once on SmolLM2, and for all else on a small model with its tokenizer.

namespace graft::lm_finetune {
namespace {

const std::string smollm2 = GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

class LmFinetune : public testing::Test {
 protected:
  static void SetUpTestSuite() { write_small_language_model(small()->path(), smollm2); }
  static void TearDownTestSuite() { small().reset(); }

  void SetUp() override {
    std::string rows, texts, preferences;
    const std::vector<std::pair<const char*, const char*>> facts{
        {"zorbix", "a reader of electronic mail"}, {"quandle", "a player of music"}, {"veltro", "a map of rivers"}};
    for (const auto& [name, use] : facts) {
      const std::string question = message("What is ", name, "?"), answer = message("It is ", use, ".");
      rows += Json({{"messages",
                     {{{"role", "user"}, {"content", question}}, {{"role", "assistant"}, {"content", answer}}}}})
                  .dump() +
              "\n";
      texts += Json({{"text", message(name, " is ", use, ".")}}).dump() + "\n";
      preferences +=
          Json({{"prompt", question}, {"chosen", answer}, {"rejected", "I do not know that."}}).dump() + "\n";
    }
    write("chat.jsonl", rows);
    write("texts.jsonl", texts);
    write("preferences.jsonl", preferences);
  }

  void write(const std::string& name, const std::string& text) const { write_file(directory_ / name, text); }
  std::string read(const std::string& name) const { return read_file(directory_ / name, 1 << 24); }
  bool exists(const std::string& name) const { return std::filesystem::exists(directory_ / name); }

  ProgramResult run(const std::string& command, const std::string& more, const std::string& input = "",
                    const std::string& model = small()->path().string()) const {
    return run_program("cd '" + directory_.path().string() + "' && " GRAFT_BIN "/lm_finetune " + command +
                           " --threads 2 --model '" + model + "' " + more,
                       input);
  }

  Json figures(const std::string& name) const { return parse_json(read(name), name); }

  static std::unique_ptr<TemporaryDirectory>& small() {
    static auto directory = std::make_unique<TemporaryDirectory>();
    return directory;
  }

  TemporaryDirectory directory_;
};

bool says(const ProgramResult& result, const std::string& part) {
  return result.output.find(part) != std::string::npos;
}

TEST_F(LmFinetune, TeachesSmolLM2ToAnswer) {
  const ProgramResult trained = run("train",
                                    "--train chat.jsonl --dev chat.jsonl --samples 1 --epochs 14 --evaluate-every 14 "
                                    "--batch-size 3 --lr 2e-3 --out adapter --json figures.json",
                                    "", smollm2);
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  EXPECT_TRUE(says(trained, "form: messages")) << trained.output;
  EXPECT_TRUE(says(trained, "<|im_start|>user\nWhat is zorbix?<|im_end|>")) << "an example as the model sees it";
  EXPECT_TRUE(says(trained, "«It is a reader of electronic mail.<|im_end|>")) << trained.output;
  EXPECT_TRUE(says(trained, "before training it says")) << trained.output;
  EXPECT_TRUE(says(trained, "says It is a reader of electronic mail.")) << "it is seen to learn" << trained.output;
  EXPECT_TRUE(says(trained, "written: adapter; read back, it gives the same logits to 3 rows")) << trained.output;
  EXPECT_EQ(figures("figures.json").at("trained_parameters"), 2442240) << "rank 8 on its 210 linear layers";
  EXPECT_LT(figures("figures.json").at("best").at("scores").at("perplexity").get<double>(), 1.2);

  const ProgramResult talked =
      run("chat", "--adapter adapter", "What is veltro?\n/new\nWhat is quandle?\n/what\n/quit\nnever asked\n", smollm2);
  EXPECT_EQ(talked.exit_code, 0) << talked.output;
  EXPECT_TRUE(says(talked, "It is a map of rivers.\nIt is a player of music.\n")) << talked.output;
  EXPECT_TRUE(says(talked, "/undo")) << "an unknown command shows those there are";
}

TEST_F(LmFinetune, WhatItLearnedIsScoredAnsweredAndExported) {
  const std::string options = "--train chat.jsonl --dev chat.jsonl --epochs 40 --batch-size 3 --lr 1e-2 --samples 0 ";
  const ProgramResult trained =
      run("train", options + "--out adapter --json lora.json --log log.jsonl --tensorboard events");
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  EXPECT_EQ(AdapterDir(directory_ / "adapter").config().task_type, "CAUSAL_LM");
  EXPECT_EQ(parse_json(read("log.jsonl").substr(0, read("log.jsonl").find('\n')), "log").at("event"), "begin");
  EXPECT_FALSE(std::filesystem::is_empty(directory_ / "events"));

  const auto perplexity = [&](const std::string& more) {
    const ProgramResult scored = run("score", "--data chat.jsonl --json " + more);
    EXPECT_EQ(scored.exit_code, 0) << scored.output;
    return parse_json(scored.output.substr(scored.output.find("{\n")), "scores").at("perplexity").get<double>();
  };
  const Json best = figures("lora.json").at("best").at("scores");
  EXPECT_GT(perplexity(""), 1000) << "random weights";
  EXPECT_NEAR(perplexity("--adapter adapter"), best.at("perplexity").get<double>(),
              1e-3 * best["perplexity"].get<double>());
  EXPECT_DOUBLE_EQ(best.at("perplexity"), std::exp(best.at("loss").get<double>()));

  const ProgramResult answered =
      run("answer", "--adapter adapter --data chat.jsonl --out answers.jsonl --answer-tokens 8");
  ASSERT_EQ(answered.exit_code, 0) << answered.output;
  const Json first = parse_json(read("answers.jsonl").substr(0, read("answers.jsonl").find('\n')), "answer");
  EXPECT_EQ(first.at("expected"), "It is a reader of electronic mail.");
  EXPECT_EQ(first.at("prompt").at(0).at("content"), "What is zorbix?");
  EXPECT_TRUE(first.at("answer").is_string());
  EXPECT_TRUE(says(run("answer", "--data chat.jsonl --out answers.jsonl"), "is there already; name another file"));

  const ProgramResult exported = run("export", "--adapter adapter --gguf adapter.gguf --merge merged");
  ASSERT_EQ(exported.exit_code, 0) << exported.output;
  EXPECT_TRUE(says(exported, "written: adapter.gguf; read back, it gives the same logits")) << exported.output;
  EXPECT_TRUE(says(exported, "written: merged; read back, it gives the same logits")) << exported.output;
  EXPECT_TRUE(exists("merged/tokenizer.json"));
  EXPECT_TRUE(says(run("export", "--adapter adapter --gguf adapter.gguf"), "adapter.gguf\" is there already"));
  const ProgramResult other = run("score", "--data chat.jsonl --adapter adapter", "", (directory_ / "merged").string());
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_TRUE(says(other, "the adapter is not of the model")) << other.output;
}

TEST_F(LmFinetune, LearnsTextsInFullAndPreferencesByDpo) {
  const ProgramResult texts =
      run("train", "--train texts.jsonl --epochs 1 --batch-size 3 --method full --out model --checkpoint-layers");
  ASSERT_EQ(texts.exit_code, 0) << texts.output;
  EXPECT_TRUE(says(texts, "form: plain text (text)")) << texts.output;
  EXPECT_TRUE(exists("model/tokenizer.json"));

  const std::string options = "--train preferences.jsonl --dev preferences.jsonl --batch-size 3 ";
  const ProgramResult preferred = run("train", options + "--epochs 30 --lr 1e-2 --out dpo --json dpo.json");
  ASSERT_EQ(preferred.exit_code, 0) << preferred.output;
  const Json scores = figures("dpo.json").at("best").at("scores");
  EXPECT_EQ(scores.at("accuracy"), 1.0);
  EXPECT_GT(scores.at("margin").get<double>(), 0.1);
  EXPECT_LT(scores.at("loss").get<double>(), std::log(2.0));

  const ProgramResult on = run("train", options +
                                            "--epochs 1 --preference ipo --sft-weight 1 --adapter dpo --out more "
                                            "--json more.json");
  ASSERT_EQ(on.exit_code, 0) << on.output;
  EXPECT_EQ(figures("more.json").at("method"), "ipo");
}

TEST_F(LmFinetune, GoesOnFromCheckpoints) {
  const std::string options =
      "--train chat.jsonl --batch-size 1 --checkpoints steps --json figures.json --overwrite --out adapter ";
  ASSERT_EQ(run("train", options + "--epochs 1").exit_code, 0);
  const ProgramResult on = run("train", options + "--epochs 2");
  ASSERT_EQ(on.exit_code, 0) << on.output;
  EXPECT_TRUE(says(on, "going on from step 3")) << on.output;
  EXPECT_EQ(figures("figures.json").at("steps"), 6);
  const ProgramResult other = run("train", options + "--epochs 2 --alpha 4");
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_TRUE(says(other, "--alpha")) << other.output;
}

TEST_F(LmFinetune, WhatIsWrongIsSaidBeforeAnythingIsTrained) {
  const auto message_of = [&](const std::string& rows, const std::string& more = "--out out") {
    write("bad.jsonl", rows);
    const ProgramResult result = run("train", "--train bad.jsonl " + more);
    EXPECT_NE(result.exit_code, 0) << result.output;
    EXPECT_FALSE(exists("out"));
    return result.output;
  };
  const std::string good = R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})"
                           "\n";
  const std::string preferences = read("preferences.jsonl");
  const std::vector<std::tuple<std::string, std::string, std::string>> cases{
      {good + R"({"messages": [{"role": "user", "con)", "--out out", "bad.jsonl, line 2"},
      {R"({"messages": [{"role": "robot", "content": "a"}]})", "--out out", "robot"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}]})", "--out out",
       "bad.jsonl, line 1"},
      {good + R"({"prompt": "a", "completion": "b"})", "--out out", "bad.jsonl, line 2"},
      {R"({"prompt": "a", "chosen": "b", "rejected": "b"})", "--out out", "bad.jsonl, line 1"},
      {R"({"question": "a"})", "--out out", "question"},
      {"", "--out out", "bad.jsonl"},
      {good, "", "give --out to save, or --look"},
      {good, "--out out --max-length 4", "no answer begins within 4 tokens"},
      {preferences, "--out out --method full", "use lora"},
      {preferences, "--out out --dev chat.jsonl", "chat.jsonl is of the form messages"},
      {good, "--out out --chat-format nobody", "nobody"},
      {good, "--out bad.jsonl", "bad.jsonl"},
      {good, "--out out --adapter nowhere", "nowhere"},
      {good, "--out out --method full --adapter nowhere", "put it in first"},
      {good, "--out out --adapter nowhere --rank 4", "--adapter excludes --rank"},
      {good, "--out out --epochs 0", "--epochs: is 0; give a whole number from 1 on"}};
  for (const auto& [rows, more, part] : cases) {
    const std::string output = message_of(rows, more);
    EXPECT_NE(output.find(part), std::string::npos) << part << " in " << output;
  }
  const ProgramResult looked = run("train", "--train chat.jsonl --look");
  EXPECT_EQ(looked.exit_code, 0) << looked.output;
  EXPECT_TRUE(says(looked, "form: messages")) << looked.output;
  EXPECT_TRUE(says(looked, "GB of memory")) << looked.output;
  EXPECT_TRUE(says(looked, "for 2 passes over the rows")) << looked.output;
  EXPECT_EQ(run("export", "--gguf x.gguf").output, "lm_finetune: --adapter is needed: what was learned is there\n");
}

}  // namespace
}  // namespace graft::lm_finetune
