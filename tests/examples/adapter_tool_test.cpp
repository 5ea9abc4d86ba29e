#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/io/adapter_dir.hpp"
#include "graft/io/model_dir.hpp"
#include "support/error_message.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program as its users run it, on a model of two small layers.

namespace graft {
namespace {

class AdapterTool : public testing::Test {
 protected:
  void SetUp() override {
    const std::vector<float> ones(16, 1.0F);
    const auto bytes = std::as_bytes(std::span(ones));
    write_model_dir(directory_ / "base", {{"architectures", {"BertModel"}}},
                    std::vector<TensorBytes>{{"key.weight", ElementType::F32, {4, 4}, bytes},
                                             {"query.weight", ElementType::F32, {4, 4}, bytes}});
    for (const std::string name : {"a", "b"}) {
      write_adapter_dir(
          directory_ / name, {.r = 2, .lora_alpha = name == "a" ? 4.0 : 2.0, .target_modules = {{"query"}, ""}},
          std::vector<TensorBytes>{{"bert.query.lora_A.weight", ElementType::F32, {2, 4}, bytes.first(32)},
                                   {"bert.query.lora_B.weight", ElementType::F32, {4, 2}, bytes.first(32)}});
    }
  }

  ProgramResult tool(const std::string& arguments) const {
    return run_program("cd '" + directory_.path().string() + "' && " GRAFT_BIN "/adapter_tool " + arguments);
  }

  std::vector<float> weight(const std::string& model, const std::string& name) const {
    const ModelDir files(directory_ / model);
    std::vector<float> values(16);
    files.read(*files.find(name), std::as_writable_bytes(std::span(values)));
    return values;
  }

  TemporaryDirectory directory_;
};

TEST_F(AdapterTool, InspectPrintsLayersAndTheirNorms) {
  const auto run = tool("inspect a");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_NE(run.output.find("bert.query      2         2       2.828       2.828          16            16"),
            std::string::npos)
      << run.output;
  EXPECT_NE(run.output.find("layers 1, parameters 16"), std::string::npos) << run.output;
}

TEST_F(AdapterTool, AnAdapterOfAnotherBaseIsMergedWithAWarning) {
  const std::vector<float> ones(8, 1.0F);
  const auto bytes = std::as_bytes(std::span(ones));
  write_adapter_dir(directory_ / "stray", {.r = 2, .target_modules = {{"query"}, ""}},
                    std::vector<TensorBytes>{{"query.lora_A.weight", ElementType::F32, {2, 4}, bytes},
                                             {"query.lora_B.weight", ElementType::F32, {4, 2}, bytes}},
                    {.metadata = {{"graft.base", "0123"}}});
  const auto merged = tool("merge base stray --out merged");
  EXPECT_EQ(merged.exit_code, 0);
  EXPECT_TRUE(
      merged.output.starts_with("warning: stray: was trained on a base whose adapted weights have the "
                                "fingerprint 0123, and those of this one have "))
      << merged.output;
  EXPECT_EQ(tool("compress stray --out small").exit_code, 0);
  EXPECT_NE(tool("inspect small").output.find("\ngraft.base \"0123\"\n"), std::string::npos);
}

// The adapter leaves the output layer as it is: the files get both, and config.json unties them.
TEST_F(AdapterTool, MergePartsAnEmbeddingFromTheOutputLayerThatSharesIt) {
  const std::vector<float> ones(16, 1.0F);
  const auto bytes = std::as_bytes(std::span(ones));
  const std::vector<TensorBytes> words{{"words.weight", ElementType::F32, {4, 4}, bytes}};
  Json config = {{"architectures", {"GPT2LMHeadModel"}}, {"vocab_size", 4}};
  write_model_dir(directory_ / "tied", config, words);
  config["tie_word_embeddings"] = false;
  write_model_dir(directory_ / "untied", config, words);
  write_adapter_dir(directory_ / "e", {.r = 2, .target_modules = {{"words"}, ""}},
                    std::vector<TensorBytes>{{"words.lora_embedding_A", ElementType::F32, {2, 4}, bytes.first(32)},
                                             {"words.lora_embedding_B", ElementType::F32, {4, 2}, bytes.first(32)}});
  const auto run = tool("merge tied e --out merged");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(weight("merged", "lm_head.weight"), ones);
  EXPECT_NE(weight("merged", "words.weight"), ones);
  EXPECT_EQ(read_json(directory_ / "merged" / "config.json").at("tie_word_embeddings"), false);
  EXPECT_EQ(tool("merge untied e --out other").exit_code, 0);
  EXPECT_EQ(ModelDir(directory_ / "other").find("lm_head.weight"), nullptr);
}

TEST_F(AdapterTool, MergeAddsTheUpdateAndKeepsTheRest) {
  const auto run = tool("merge base a --out merged");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(run.output, "merged into 1 tensors of the base\nwritten to merged\n");
  EXPECT_EQ(weight("merged", "query.weight"), std::vector<float>(16, 5.0F));  // 1 + (4 / 2) * 2
  EXPECT_EQ(weight("merged", "key.weight"), std::vector<float>(16, 1.0F));
  EXPECT_EQ(tool("merge base a --out merged --overwrite").exit_code, 0);
}

TEST_F(AdapterTool, CombinedAdaptersMergeToTheWeighedSum) {
  for (const std::string method : {"cat", "svd", "linear"}) {
    ASSERT_EQ(tool("combine a b --weights 0.5 2 --method " + method + " --out both --overwrite").exit_code, 0);
    ASSERT_EQ(tool("merge base both --out merged --overwrite").exit_code, 0);
    // 1 + 0.5 * 4 + 2 * 2; "linear" has (1 + sqrt 2)^2 * 2 in place of it: cross terms.
    const float expected = method == "linear" ? 1.0F + 2.0F * (3.0F + 2.0F * 1.41421356F) : 7.0F;
    EXPECT_NEAR(weight("merged", "query.weight")[5], expected, 1e-5) << method;
  }
}

TEST_F(AdapterTool, CompressConvertAndDiffWorkOnDirectories) {
  auto run = tool("compress a --energy 0.99 --out small");
  EXPECT_EQ(run.output, "parameters of the layers 16 -> 8, largest rank 1, written to small\n");
  run = tool("convert a --dtype bfloat16 --out half");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(AdapterDir(directory_ / "half").tensors()[0].type, ElementType::BF16);
  run = tool("diff a b");
  EXPECT_NE(run.output.find("bert.query         16          8          8          1  8"), std::string::npos)
      << run.output;
}

TEST_F(AdapterTool, EveryMistakeGetsItsMessage) {
  const auto error = [&](const std::string& arguments) {
    const auto run = tool(arguments);
    EXPECT_NE(run.exit_code, 0);
    return run.output;
  };
  EXPECT_EQ(
      error("inspect nowhere"),
      "adapter_tool: the adapter's directory \"nowhere\" is not there; give its path, graft downloads no adapter\n");
  EXPECT_NE(error("merge base a --out base").find("is named twice"), std::string::npos);
  EXPECT_NE(error("merge base a --out b").find("is there already and not empty"), std::string::npos)
      << "not replaced unasked";
  EXPECT_NE(error("combine a b --weights 1 --out c").find("2 adapters and 1 weights are to be combined"),
            std::string::npos);
  EXPECT_NE(error("merge").find("base is required"), std::string::npos);
  EXPECT_NE(error("").find("subcommand is required"), std::string::npos);
  const std::vector<std::byte> bytes(32);
  write_adapter_dir(directory_ / "other", {.r = 2, .target_modules = {{"value"}, ""}},
                    std::vector<TensorBytes>{{"value.lora_A.weight", ElementType::F32, {2, 4}, bytes},
                                             {"value.lora_B.weight", ElementType::F32, {4, 2}, bytes}});
  EXPECT_EQ(error("merge base other --out c"),
            "adapter_tool: other: this adapter does not fit the base base; nothing was written:\n"
            "  the base has no \"value.weight\"\n");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "c"));
  write_adapter_dir(directory_ / "broken", {.r = 3, .target_modules = {{"query"}, ""}},
                    std::vector<TensorBytes>{{"query.lora_A.weight", ElementType::F32, {2, 4}, bytes},
                                             {"key.lora_A.weight", ElementType::F32, {2, 4}, bytes},
                                             {"query.lora_B.weight", ElementType::F32, {4, 2}, bytes}});
  EXPECT_EQ(error("inspect broken"),
            "adapter_tool: broken: this is no sound adapter:\n"
            "  layer \"key\" has no lora_B.weight\n"
            "  layer \"query\" has rank 2 by its weights and 3 by the config\n");
}

}  // namespace
}  // namespace graft
