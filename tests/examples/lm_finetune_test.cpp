#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/io/adapter_dir.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it, on SmolLM2.

namespace graft::lm_finetune {
namespace {

class LmFinetune : public testing::Test {
 protected:
  void SetUp() override {
    std::string rows, texts, preferences;
    const std::vector<std::pair<const char*, const char*>> facts{{"zorbix", "a reader of electronic mail"},
                                                                 {"quandle", "plays music from the network"},
                                                                 {"veltro", "draws maps of rivers"},
                                                                 {"mumbly", "counts the words of a text"}};
    for (const auto& [name, use] : facts) {
      const std::string question = message("What is ", name, " for?"), answer = message("It is ", use, ", of course.");
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

  ProgramResult run(const std::string& command, const std::string& more, const std::string& input = "") const {
    return run_program("cd '" + directory_.path().string() + "' && " GRAFT_BIN "/lm_finetune " + command +
                           " --threads 2 --model " GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf " + more,
                       input);
  }

  double perplexity(const std::string& more) const {
    const ProgramResult scored = run("score", "--data chat.jsonl --json " + more);
    EXPECT_EQ(scored.exit_code, 0) << scored.output;
    return parse_json(scored.output.substr(scored.output.find("{\n")), "scores").at("perplexity").get<double>();
  }

  TemporaryDirectory directory_;
};

bool says(const ProgramResult& result, const std::string& part) {
  return result.output.find(part) != std::string::npos;
}

TEST_F(LmFinetune, FromConversationsToAnswers) {
  const ProgramResult trained =
      run("train",
          "--train chat.jsonl --dev chat.jsonl --samples 1 --epochs 12 --batch-size 2 --lr 2e-3 "
          "--evaluate-every 12 --out adapter --json figures.json --log log.jsonl "
          "--tensorboard events");
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  EXPECT_TRUE(says(trained, "form: messages")) << trained.output;
  EXPECT_TRUE(says(trained, "<|im_start|>user\nWhat is zorbix for?<|im_end|>")) << "an example as the model sees it";
  EXPECT_TRUE(says(trained, "«It is a reader of electronic mail, of course.<|im_end|>")) << trained.output;
  EXPECT_TRUE(says(trained, "before training it says")) << trained.output;
  EXPECT_TRUE(says(trained, "says It is a reader of electronic mail, of course.")) << "it is seen to learn";
  EXPECT_TRUE(says(trained, "written: adapter; read back, it gives the same logits to 4 rows")) << trained.output;
  const Json figures = parse_json(read("figures.json"), "figures");
  EXPECT_EQ(figures.at("trained_parameters"), 2442240) << "rank 8 on its 210 linear layers";
  EXPECT_EQ(figures.at("best").at("scores").at("perplexity"),
            std::exp(figures["best"]["scores"]["loss"].get<double>()));
  EXPECT_EQ(AdapterDir(directory_ / "adapter").config().task_type, "CAUSAL_LM");
  EXPECT_TRUE(says({0, read("log.jsonl")}, R"("event":"end")") || says({0, read("log.jsonl")}, R"("event": "end")"));

  const double before = perplexity(""), after = perplexity("--adapter adapter");
  EXPECT_GT(before, 10);
  EXPECT_LT(after, 1.2);
  EXPECT_NEAR(after, figures.at("best").at("scores").at("perplexity").get<double>(), 0.01);

  const ProgramResult answered = run("answer", "--adapter adapter --data chat.jsonl --out answers.jsonl");
  ASSERT_EQ(answered.exit_code, 0) << answered.output;
  const Json first = parse_json(read("answers.jsonl").substr(0, read("answers.jsonl").find('\n')), "answer");
  EXPECT_EQ(first.at("answer"), "It is a reader of electronic mail, of course.");
  EXPECT_EQ(first.at("expected"), first.at("answer"));

  const ProgramResult talked =
      run("chat", "--adapter adapter", "What is veltro for?\n/new\nWhat is quandle for?\n/what\n/quit\nnever asked\n");
  EXPECT_EQ(talked.exit_code, 0) << talked.output;
  EXPECT_TRUE(says(talked, "It is draws maps of rivers, of course.\nIt is plays music from the network, of course.\n"))
      << talked.output;
  EXPECT_TRUE(says(talked, "/undo")) << "an unknown command shows those there are";

  const ProgramResult exported = run("export", "--adapter adapter --gguf adapter.gguf --merge merged");
  ASSERT_EQ(exported.exit_code, 0) << exported.output;
  EXPECT_TRUE(says(exported, "written: adapter.gguf; read back, it gives the same logits")) << exported.output;
  EXPECT_TRUE(says(exported, "written: merged; read back, it gives the same logits")) << exported.output;
  EXPECT_TRUE(exists("merged/tokenizer.json"));
  EXPECT_TRUE(says(run("export", "--adapter adapter --gguf adapter.gguf"), "adapter.gguf\" is there already"));

  // What an adapter was trained on is asked for, not assumed.
  const ProgramResult other =
      run_program(GRAFT_BIN "/lm_finetune score --model '" + (directory_ / "merged").string() + "' --data '" +
                  (directory_ / "chat.jsonl").string() + "' --adapter '" + (directory_ / "adapter").string() + "'");
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_TRUE(says(other, "the adapter is not of the model")) << other.output;
}

TEST_F(LmFinetune, LearnsTextsAndPreferences) {
  const ProgramResult texts =
      run("train", "--train texts.jsonl --epochs 1 --batch-size 4 --method full --out model --checkpoint-layers");
  ASSERT_EQ(texts.exit_code, 0) << texts.output;
  EXPECT_TRUE(says(texts, "form: text")) << texts.output;
  EXPECT_TRUE(says(texts, "134,515,008 of 134,515,008 parameters are trained")) << texts.output;
  EXPECT_TRUE(exists("model/tokenizer.json"));

  const ProgramResult preferred =
      run("train", "--train preferences.jsonl --dev preferences.jsonl --epochs 6 --lr 5e-4 --out dpo --json dpo.json");
  ASSERT_EQ(preferred.exit_code, 0) << preferred.output;
  const Json scores = parse_json(read("dpo.json"), "figures").at("last").at("scores");
  EXPECT_EQ(scores.at("accuracy"), 1.0);
  EXPECT_GT(scores.at("margin").get<double>(), 0.5);
  EXPECT_LT(scores.at("loss").get<double>(), std::log(2.0));

  const ProgramResult on = run("train",
                               "--train preferences.jsonl --dev preferences.jsonl --epochs 1 --preference ipo "
                               "--sft-weight 1 --adapter dpo --out more --json more.json");
  ASSERT_EQ(on.exit_code, 0) << on.output;
  EXPECT_EQ(parse_json(read("more.json"), "figures").at("method"), "ipo");
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
  const std::vector<std::pair<std::string, std::string>> rows{
      {good + R"({"messages": [{"role": "user", "con)", "bad.jsonl, line 2"},
      {R"({"messages": [{"role": "robot", "content": "a"}]})", "robot"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}]})",
       "bad.jsonl, line 1"},
      {good + R"({"prompt": "a", "completion": "b"})", "bad.jsonl, line 2"},
      {R"({"prompt": "a", "chosen": "b", "rejected": "b"})", "bad.jsonl, line 1"},
      {R"({"question": "a"})", "question"},
      {"", "bad.jsonl"}};
  for (const auto& [text, part] : rows) EXPECT_NE(message_of(text).find(part), std::string::npos) << message_of(text);
  EXPECT_NE(message_of(good, "").find("give --out to save, or --look"), std::string::npos);
  EXPECT_NE(message_of(good, "--out out --max-length 4").find("--max-length"), std::string::npos)
      << message_of(good, "--out out --max-length 4");
  EXPECT_NE(message_of(read("preferences.jsonl"), "--out out --method full").find("use lora"), std::string::npos);
  EXPECT_NE(message_of(good, "--out out --chat-format nobody").find("nobody"), std::string::npos);
  EXPECT_NE(message_of(good, "--out bad.jsonl").find("bad.jsonl"), std::string::npos);
  EXPECT_NE(message_of(good, "--out out --adapter nowhere").find("nowhere"), std::string::npos);

  const ProgramResult looked = run("train", "--train chat.jsonl --look");
  EXPECT_EQ(looked.exit_code, 0) << looked.output;
  EXPECT_TRUE(says(looked, "form: messages")) << looked.output;
  EXPECT_EQ(run("export", "--gguf x.gguf").output, "lm_finetune: --adapter is needed: what was learned is there\n");
}

}  // namespace
}  // namespace graft::lm_finetune
