#include "graft/io/adapter_dir.hpp"
#include "graft/core/output.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/error_message.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

std::string config_error(std::string_view fields) {
  const Json json = parse_json(message(R"({"peft_type":"LORA","target_modules":["query"])", fields, "}"), "c");
  return error_message([&] { parse_adapter_config(json, "c"); });
}

TEST(ParseAdapterConfig, TakesPeftsDefaults) {
  const AdapterConfig config =
      parse_adapter_config(parse_json(R"({"peft_type":"LORA","target_modules":["query"]})", "c"), "c");
  EXPECT_EQ(config.r, 8);
  EXPECT_EQ(config.lora_alpha, 8);
  EXPECT_EQ(config.target_modules, (ModuleNames{.names = {"query"}}));
  EXPECT_FALSE(config.inference_mode);
}

TEST(ParseAdapterConfig, EveryBadFieldGetsItsMessage) {
  const std::string undone = ", which graft does not do";
  const struct {
    std::string fields, error;
  } rows[] = {
      {R"(,"r":0)", "\"r\" is 0, but must be an integer from 1 to 1000000"},
      {R"(,"r":1000000000)", "\"r\" is 1000000000, but must be an integer from 1 to 1000000"},
      {R"(,"r":8.0)", "\"r\" is 8.0, but must be an integer from 1 to 1000000"},
      {R"(,"lora_alpha":"16")", "\"lora_alpha\" is \"16\", but must be a number from 0 to 1e+09"},
      {R"(,"lora_alpha":-1)", "\"lora_alpha\" is -1, but must be a number from 0 to 1e+09"},
      {R"(,"lora_dropout":1.0)", "\"lora_dropout\" is 1.0, but must be a number from 0 to less than 1"},
      {R"(,"bias":"some")", "\"bias\" is \"some\", but must be \"none\", \"all\" or \"lora_only\""},
      {R"(,"task_type":"CLS")",
       "\"task_type\" is \"CLS\", but must be null, SEQ_CLS, SEQ_2_SEQ_LM, CAUSAL_LM, TOKEN_CLS, QUESTION_ANS or "
       "FEATURE_EXTRACTION"},
      {R"(,"init_lora_weights":"pissa_niter_4")",
       "\"init_lora_weights\" is \"pissa_niter_4\", but must be true, false, \"gaussian\", \"orthogonal\", \"eva\" or "
       "\"mica\"; others "
       "change the base, and are to be saved as ordinary LoRA (PEFT: path_initial_model_for_weight_conversion)"},
      {R"(,"exclude_modules":[1])",
       "\"exclude_modules\" is an array of 1, but must be an array of strings, and holds 1"},
      {R"(,"rank_pattern":{"query":0})", "\"rank_pattern\": \"query\" is 0, but must be an integer from 1 to 1000000"},
      {R"(,"alpha_pattern":{"query":null})",
       "\"alpha_pattern\": \"query\" is null, but must be a number from 0 to 1e+09"},
      {R"(,"exclude_modules":"a**")",
       "\"exclude_modules\" has the regular expression \"a**\", character 2: a repetition is repeated; put it in a "
       "group"},
      {R"(,"rank_pattern":{"(a":1},"alpha_pattern":{"(b)\\1":1})",
       "2 fields are wrong or ask for what graft does not do:"
       "\n  \"rank_pattern\" has the regular expression \"(a\", character 0: \"(\" is not closed"
       "\n  \"alpha_pattern\" has the regular expression \"(b)\\\\1\", character 3: a back reference is not understood "
       "here; "
       "write the expression without"},
      {R"(,"layers_to_transform":[-1])",
       "\"layers_to_transform\" is an array of 1, but must be an array of integers from 0 to 2147483647"},
      {R"(,"layers_pattern":"layer")", "\"layers_pattern\" is given without \"layers_to_transform\""},
      {R"(,"lora_bias":true,"use_dora":true)", "\"lora_bias\" and \"use_dora\" exclude each other"},
      {R"(,"layer_replication":[[0,2],[1,3]])", "\"layer_replication\" is an array of 2" + undone},
      {R"(,"use_qalora":true)", "\"use_qalora\" is true" + undone},
      {R"(,"megatron_config":{"a":1})", "\"megatron_config\" is an object" + undone},
      {R"(,"target_parameters":["experts"])", "\"target_parameters\" is an array of 1" + undone},
      {R"(,"use_future":"yes")", "\"use_future\" is \"yes\"" + undone},
  };
  for (const auto& [fields, error] : rows) EXPECT_EQ(config_error(fields), "FormatError: c: " + error);
  EXPECT_EQ(config_error(R"(,"r":0,"lora_alpha":null,"use_qalora":true,"bias":1)"),
            "FormatError: c: 3 fields are wrong or ask for what graft does not do:"
            "\n  \"r\" is 0, but must be an integer from 1 to 1000000"
            "\n  \"bias\" is 1, but must be a string"
            "\n  \"use_qalora\" is true" +
                undone);
}

TEST(ParseAdapterConfig, AcceptsFieldsThatAskForNothing) {
  EXPECT_EQ(
      config_error(
          R"(,"layer_replication":null,"loftq_config":{},"use_future":false,"new_list":[],"runtime_config":{"a":1},
                            "qalora_group_size":32,"megatron_core":"other","target_parameters":[],"lora_dropout":0)"),
      "(no error)");
}

TEST(ParseAdapterConfig, RefusesOtherKindsOfAdapter) {
  const auto error = [](std::string_view text) {
    return error_message([&] { parse_adapter_config(parse_json(text, "c"), "c"); });
  };
  const std::string name = ", but must be the name of a kind of adapters, such as \"LORA\" or \"IA3\"";
  EXPECT_EQ(error(R"({"peft_type":""})"), "FormatError: c: \"peft_type\" is \"\"" + name);
  EXPECT_EQ(error(R"({"r":8})"), "FormatError: c: \"peft_type\" is missing" + name);
  EXPECT_EQ(error(R"({"peft_type":"IA3","r":8,"use_dora":true})"),
            "FormatError: c: 2 fields are wrong or ask for what graft does not do:\n"
            "  \"r\" is 8, which graft does not do\n  \"use_dora\" is true, which graft does not do");
  EXPECT_EQ(error("[]"), "FormatError: c: is an array of 0, but must be a JSON object");
}

TEST(AdapterConfigJson, RefusesWhatItCouldNotRead) {
  EXPECT_EQ(error_message([] { adapter_config_json({.r = 0}); }),
            "OptionError: adapter config: \"r\" is 0, but must be an integer from 1 to 1000000");
  EXPECT_EQ(error_message([] { adapter_config_json({.init_lora_weights = "olora"}); }).substr(0, 70),
            "OptionError: adapter config: \"init_lora_weights\" is \"olora\", but must ");
}

TEST(AdapterConfigJson, ReadsBackAsItWas) {
  AdapterConfig config{.base_model_name_or_path = "base", .task_type = "TOKEN_CLS", .r = 3, .lora_alpha = 2.5};
  config.bias = AdapterBias::lora_only;
  config.target_modules.pattern = "all-linear";
  config.modules_to_save = {"classifier"};
  config.rank_pattern = {{"query", 2}};
  config.alpha_pattern = {{"query", 0.1}};
  config.trainable_token_indices = {{"", {1, 2}}};
  EXPECT_EQ(parse_adapter_config(parse_json(json_text(adapter_config_json(config)), "c"), "c"), config);

  AdapterConfig ia3{.peft_type = "IA3", .base_model_name_or_path = "base"};
  ia3.target_modules.names = {"key", "output.dense"};
  ia3.feedforward_modules.names = {"output.dense"};
  EXPECT_EQ(parse_adapter_config(parse_json(json_text(adapter_config_json(ia3)), "c"), "c"), ia3);
}

TEST(ParseAdapterConfig, KeepsTheFieldsOfAKindItDoesNotKnow) {
  const std::string text = R"({"peft_type":"VERA","r":4,"vera_dropout":0.5,"bias":"vera_only","target_modules":["q"]})";
  const AdapterConfig config = parse_adapter_config(parse_json(text, "c"), "c");
  EXPECT_EQ(config.bias, AdapterBias::lora_only);
  EXPECT_EQ(config.fields, (Json{{"r", 4}, {"vera_dropout", 0.5}}));
  EXPECT_EQ(parse_adapter_config(parse_json(json_text(adapter_config_json(config)), "c"), "c"), config);
  EXPECT_EQ(
      error_message([] { parse_adapter_config(parse_json(R"({"peft_type":"VERA","bias":"lora_only"})", "c"), "c"); }),
      "FormatError: c: \"bias\" is \"lora_only\", but must be \"none\", \"all\" or \"vera_only\"");
}

void write_minimal(const fs::path& directory) {
  const std::vector<std::byte> data(8);
  const std::vector<TensorBytes> tensors = {{"q.lora_A.weight", ElementType::F32, {1, 2}, data}};
  write_adapter_dir(directory, {.target_modules = {.names = {"q"}}}, tensors, {.metadata = {{"base", "0123"}}});
}

TEST(AdapterDir, ReadsWhatWasWritten) {
  const TemporaryDirectory directory;
  write_minimal(directory / "a");
  const AdapterDir adapter(directory / "a");
  EXPECT_EQ(adapter.metadata().at("base"), "0123");
  const TensorInfo* info = adapter.find("q.lora_A.weight");
  ASSERT_NE(info, nullptr);
  std::vector<std::byte> bytes(8, std::byte{1});
  adapter.read(*info, bytes);
  EXPECT_EQ(bytes, std::vector<std::byte>(8));
  EXPECT_TRUE(adapter.warnings().empty());
  EXPECT_EQ(adapter.find("base_model.model.q.lora_A.weight"), nullptr);
  EXPECT_THROW(write_minimal(directory / "a"), OptionError);
}

TEST(AdapterDir, EveryBadDirectoryGetsItsMessage) {
  const TemporaryDirectory directory;
  const fs::path d = directory / "a";
  const auto error = [&] { return replaced(error_message([&] { AdapterDir adapter(d); }), d.string(), "D"); };
  EXPECT_EQ(error(),
            "FileError: the adapter's directory \"D\" is not there; give its path, graft downloads no adapter");
  write_file(d, "x");
  EXPECT_EQ(error(), "FileError: \"D\" is a file; name the directory that holds adapter_config.json");
  fs::remove(d);
  write_minimal(d);
  const std::vector<std::byte> data(1);
  write_safetensors(
      d / "adapter_model.safetensors",
      std::vector<TensorBytes>{{"a", ElementType::U8, {1}, data}, {"base_model.model.a", ElementType::U8, {1}, data}});
  EXPECT_EQ(error(), "FormatError: D/adapter_model.safetensors: holds tensor \"a\" with and without base_model.model.");
  write_safetensors(d / "adapter_model.safetensors", std::vector<TensorBytes>{{"a", ElementType::U8, {1}, data}});
  EXPECT_EQ(AdapterDir(d).warnings().size(), 1u);
  fs::resize_file(d / "adapter_model.safetensors", 40);
  EXPECT_EQ(error(),
            "FormatError: D/adapter_model.safetensors, byte 0: header claims 56 bytes, file has 40; it is cut short or "
            "no safetensors file");
  fs::remove(d / "adapter_model.safetensors");
  EXPECT_EQ(error(), "FileError: D: holds no adapter_model.safetensors");
  write_file(d / "adapter_model.bin", "x");
  EXPECT_EQ(error(),
            "FileError: D: holds no adapter_model.safetensors, only adapter_model.bin, a pickle that could run code; "
            "convert it to safetensors");
  fs::remove(d / "adapter_config.json");
  EXPECT_EQ(error(), "FileError: D: holds no adapter_config.json; is it an adapter's directory?");
}

TEST(AdapterDir, WritesTheBytesThatPeftWrote) {
  const TemporaryDirectory directory;
  run_python("adapter_dir.py", {"write", directory.path().string()});
  int kinds = 0;
  for (const auto& entry : fs::directory_iterator(directory.path())) {
    const AdapterDir theirs(entry.path());
    EXPECT_TRUE(theirs.warnings().empty());
    std::vector<std::vector<std::byte>> data;
    std::vector<TensorBytes> tensors;
    for (const TensorInfo& tensor : theirs.tensors()) {
      data.emplace_back(tensor.bytes());
      theirs.read(tensor, data.back());
      tensors.push_back({tensor.name, tensor.type, tensor.shape, {}});
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].bytes = data[i];
    const TemporaryDirectory ours;
    write_adapter_dir(ours.path(), theirs.config(), tensors);
    for (const std::string file : {"adapter_config.json", "adapter_model.safetensors"}) {
      EXPECT_EQ(read_file(ours / file, 1 << 20), read_file(entry.path() / file, 1 << 20)) << entry.path();
    }
    ++kinds;
  }
  EXPECT_EQ(kinds, 9);
}

TEST(WriteAdapterDir, PeftReadsIt) {
  const TemporaryDirectory directory;
  const std::vector<float> halves(16, 0.5f);
  const auto bytes = std::as_bytes(std::span(halves));
  std::vector<TensorBytes> tensors;
  for (const std::string layer : {"0", "1"}) {
    const std::string query = "bert.encoder.layer." + layer + ".attention.self.query.";
    tensors.push_back({query + "lora_A.weight", ElementType::F32, {2, 8}, bytes});
    tensors.push_back({query + "lora_B.weight", ElementType::F32, {8, 2}, bytes});
  }
  tensors.push_back({"classifier.weight", ElementType::F32, {2, 8}, bytes});
  tensors.push_back({"classifier.bias", ElementType::F32, {2}, bytes.first(8)});
  write_adapter_dir(directory / "a",
                    {.task_type = "SEQ_CLS",
                     .r = 2,
                     .lora_alpha = 16,
                     .lora_dropout = 0.25,
                     .target_modules = {.names = {"query"}},
                     .modules_to_save = {"classifier"}},
                    tensors);
  run_python("adapter_dir.py", {"read", (directory / "a").string()});
}

}  // namespace
}  // namespace graft
