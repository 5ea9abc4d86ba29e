#include "graft/models/load.hpp"
#include "graft/adapters/lora.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/models/heads.hpp"
#include "graft/models/save.hpp"
#include "support/error_message.hpp"
#include "support/small_encoders.hpp"
#include "support/temporary_directory.hpp"

namespace graft::load_test {
namespace {

BertConfig tiny() {
  auto config = small_encoder<BertConfig>();
  config.num_hidden_layers = 1;
  return config;
}

PackedBatch texts() {
  const std::vector<std::vector<std::int32_t>> ids{{2, 7, 9, 3}, {2, 30, 31, 32, 33, 34, 3}};
  return pack(ids);
}

/// A directory with a classifier whose tensors and configuration a test may change.
class Load : public testing::Test {
 protected:
  Load() : config_(tiny().to_json("BertForSequenceClassification", "float32")) {
    torch::manual_seed(4);
    tensors_ = named_tensors(*BertForSequenceClassification(tiny()));
  }

  std::filesystem::path directory() {
    std::filesystem::create_directories(root_ / "model");
    std::ofstream(root_ / "model/config.json") << config_.dump();
    save_tensors(root_ / "model/model.safetensors", tensors_);
    return root_ / "model";
  }

  torch::Tensor& tensor(const std::string& name) {
    for (auto& [key, value] : tensors_) {
      if (key == name) return value;
    }
    throw OptionError("the test asks for " + name);
  }

  void erase(const std::string& begin) {
    std::erase_if(tensors_, [&](const auto& tensor) { return tensor.first.starts_with(begin); });
  }

  template <class Model = BertForSequenceClassification>
  std::string error() {
    std::string text = error_message([&] { load_pretrained<Model>(directory()); });
    const std::string place = (root_ / "").string();
    for (auto at = text.find(place); at != text.npos; at = text.find(place)) text.erase(at, place.size());
    return text;
  }

  TemporaryDirectory root_;
  Json config_;
  NamedTensors tensors_;
};

using Names = std::vector<std::string>;

TEST_F(Load, GivesTheVeryWeights) {
  const auto [model, report] = load_pretrained<BertForSequenceClassification>(directory());
  for (const auto& [name, loaded] : named_tensors(*model)) EXPECT_TRUE(torch::equal(loaded, tensor(name))) << name;
  EXPECT_EQ(report.loaded.size(), tensors_.size());
  EXPECT_EQ(report.lacking, Names());
  EXPECT_EQ(report.ignored, Names());
  EXPECT_FALSE(model->is_training());
  for (const torch::Tensor& parameter : model->parameters()) EXPECT_TRUE(parameter.requires_grad());
}

TEST_F(Load, ConvertsToTheTypeAskedFor) {
  for (const auto type : {torch::kFloat64, torch::kBFloat16, torch::kFloat16}) {
    const auto model = load_pretrained<BertForSequenceClassification>(directory(), {.dtype = type}).model;
    for (const auto& [name, loaded] : named_tensors(*model)) {
      EXPECT_TRUE(torch::equal(loaded, tensor(name).to(type))) << name;
    }
  }
}

TEST_F(Load, SaysWhichHeadIsNewAndWhichIsLeftOut) {
  const auto tokens = load_pretrained<BertForTokenClassification>(directory(), {.labels = {"B", "O"}});
  EXPECT_EQ(tokens.report.lacking, Names());
  EXPECT_EQ(tokens.report.ignored, (Names{"bert.pooler.dense.bias", "bert.pooler.dense.weight"}));
  EXPECT_EQ(tokens.model->config().labels, (Names{"B", "O"}));

  torch::manual_seed(5);
  const auto answers = load_pretrained<BertForQuestionAnswering>(directory());
  EXPECT_EQ(answers.report.lacking, (Names{"qa_outputs.weight", "qa_outputs.bias"}));
  EXPECT_EQ(answers.report.ignored,
            (Names{"bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias", "classifier.weight"}));
  const auto parameters = answers.model->named_parameters();
  EXPECT_NEAR(parameters["qa_outputs.weight"].std().item<double>(), 0.02, 0.01);
  EXPECT_EQ(parameters["qa_outputs.bias"].abs().max().item<double>(), 0.0);
}

TEST_F(Load, ToleratesBuffersAndTakesTheEncoderWithoutItsPrefix) {
  tensors_.emplace_back("bert.embeddings.position_ids", torch::arange(16));
  EXPECT_EQ(load_pretrained<BertForSequenceClassification>(directory()).report.ignored,
            (Names{"bert.embeddings.position_ids"}));
  erase("bert.embeddings.position_ids");
  const torch::Tensor before = load_pretrained<BertForSequenceClassification>(directory()).model(texts());
  for (auto& [name, value] : tensors_) {
    if (name.starts_with("bert.")) name.erase(0, 5);
  }
  EXPECT_TRUE(torch::equal(load_pretrained<BertForSequenceClassification>(directory()).model(texts()), before));
}

TEST_F(Load, ListsEveryNameThatDoesNotFit) {
  erase("bert.encoder.layer.0.attention.self.query");
  erase("classifier.bias");
  tensors_.emplace_back("bert.encoder.layer.1.output.dense.bias", torch::zeros({12}));
  tensors_.emplace_back("bert.extra", torch::zeros({1}));
  tensor("bert.pooler.dense.bias") = torch::zeros({13});
  tensor("bert.embeddings.LayerNorm.bias") = torch::zeros({12}, torch::kInt64);
  EXPECT_EQ(
      error(),
      "FormatError: model: its tensors are not those of the module; nothing was loaded. Check that file and module "
      "are of one model\n"
      "  missing in the file (3): \"bert.encoder.layer.0.attention.self.query.weight\", "
      "\"bert.encoder.layer.0.attention.self.query.bias\", \"classifier.bias\"\n"
      "  not in the module (2): \"bert.encoder.layer.1.output.dense.bias\", \"bert.extra\"\n"
      "  of another shape (1): \"bert.pooler.dense.bias\" is [13], not [12]\n"
      "  of another type (1): \"bert.embeddings.LayerNorm.bias\" is I64, which does not convert to Float");
}

TEST_F(Load, TakesNoMemoryForAConfigurationThatTheFileBelies) {
  config_["vocab_size"] = 1 << 24;
  config_["hidden_size"] = 3 << 18;  // 25 TB of word embeddings
  const std::string text = error();
  EXPECT_NE(text.find("\"bert.embeddings.word_embeddings.weight\" is [50, 12], not [16777216, 786432]"), text.npos)
      << text;
}

TEST_F(Load, RefusesLabelsThatTheHeadDoesNotHave) {
  const std::string text = error_message([&] {
    load_pretrained<BertForSequenceClassification>(directory(), {.labels = {"a", "b", "c"}});
  });
  EXPECT_NE(text.find("\"classifier.weight\" is [2, 12], not [3, 12]"), text.npos) << text;
}

TEST_F(Load, RefusesTwoNamesForOneWeight) {
  tensors_.emplace_back("pooler.dense.bias", torch::zeros({12}));
  tensors_.emplace_back("bert.embeddings.LayerNorm.gamma", torch::zeros({12}));
  EXPECT_EQ(error(),
            "FormatError: model: tensors that mean the same weight; take one of each pair out\n"
            "  \"bert.embeddings.LayerNorm.gamma\" and \"bert.embeddings.LayerNorm.weight\"\n"
            "  \"bert.pooler.dense.bias\" and \"pooler.dense.bias\"");
}

TEST_F(Load, TakesACopyOfTiedWeightsOnlyIfItIsOne) {
  tensors_ = named_tensors(*BertForMaskedLM(tiny()));
  const torch::Tensor before = load_pretrained<BertForMaskedLM>(directory()).model(texts());
  const torch::Tensor words = tensor("bert.embeddings.word_embeddings.weight");
  tensors_.emplace_back("cls.predictions.decoder.weight", words.clone());
  const auto [model, report] = load_pretrained<BertForMaskedLM>(directory());
  EXPECT_EQ(report.ignored, Names{"cls.predictions.decoder.weight"});
  EXPECT_TRUE(torch::equal(BertForMaskedLM(model)(texts()), before));

  erase("bert.embeddings.word_embeddings");
  EXPECT_TRUE(torch::equal(load_pretrained<BertForMaskedLM>(directory()).model(texts()), before));

  tensors_.emplace_back("bert.embeddings.word_embeddings.weight", words + 1);
  EXPECT_EQ(error<BertForMaskedLM>(),
            "FormatError: model: \"cls.predictions.decoder.weight\" differs from "
            "\"bert.embeddings.word_embeddings.weight\", to which the model ties it; untied weights are not supported");
}

TEST_F(Load, RefusesADirectoryThatIsNoModel) {
  EXPECT_NE(error_message([&] { load_pretrained<BertModel>(root_ / "nowhere"); }).find("nowhere"), std::string::npos);
  config_.erase("hidden_act");
  EXPECT_EQ(error(),
            "FormatError: model/config.json: missing \"hidden_act\"; is this the config.json of a BERT or RoBERTa?");
  config_["hidden_act"] = "gelu";
  std::filesystem::rename(directory() / "model.safetensors", root_ / "model/pytorch_model.bin");
  const std::string text = error_message([&] { load_pretrained<BertModel>(root_ / "model"); });
  EXPECT_NE(text.find("pytorch_model.bin"), text.npos) << text;
  EXPECT_NE(text.find("safetensors"), text.npos) << text;
}

// ---------------------------------------------------------------------------------------------------------------
// saving

TEST_F(Load, GivesBackWhatWasSaved) {
  for (const auto type : {torch::kFloat32, torch::kFloat64, torch::kBFloat16}) {
    auto model = load_pretrained<BertForSequenceClassification>(directory(), {.dtype = type}).model;
    save_pretrained(root_ / "saved", model, {.replace = true});
    const auto again = load_pretrained<BertForSequenceClassification>(root_ / "saved", {.dtype = type});
    EXPECT_TRUE(torch::equal(BertForSequenceClassification(again.model)(texts()), model(texts())));
    EXPECT_EQ(again.report.loaded.size(), tensors_.size());
  }
}

TEST_F(Load, ReadsTheShardsThatSaveWrites) {
  auto model = load_pretrained<BertForSequenceClassification>(directory()).model;
  save_pretrained(root_ / "saved", model, {.shard_bytes = 2000});
  EXPECT_TRUE(std::filesystem::exists(root_ / "saved/model.safetensors.index.json"));
  EXPECT_TRUE(
      torch::equal(load_pretrained<BertForSequenceClassification>(root_ / "saved").model(texts()), model(texts())));
}

TEST_F(Load, SaveCopiesTheTokenizerAndReplacesOnlyWhenTold) {
  const auto model = load_pretrained<BertForSequenceClassification>(directory()).model;
  EXPECT_EQ(error_message([&] { save_pretrained(root_ / "saved", model, {.tokenizer_from = root_ / "model"}); }),
            "OptionError: \"" + (root_ / "model").string() +
                "\" has no tokenizer file, such as tokenizer.json or vocab.txt; name the model's own directory");
  EXPECT_FALSE(std::filesystem::exists(root_ / "saved"));
  std::ofstream(root_ / "model/vocab.txt") << "[UNK]\n";
  save_pretrained(root_ / "saved", model, {.tokenizer_from = root_ / "model"});
  EXPECT_TRUE(std::filesystem::exists(root_ / "saved/vocab.txt"));
  EXPECT_NE(error_message([&] { save_pretrained(root_ / "saved", model); }), "(no error)");
  EXPECT_TRUE(std::filesystem::exists(root_ / "saved/vocab.txt"));
  save_pretrained(root_ / "saved", model, {.replace = true});
  EXPECT_FALSE(std::filesystem::exists(root_ / "saved/vocab.txt"));
}

TEST_F(Load, SaveTakesMergedAdaptersAndRefusesOthers) {
  auto model = load_pretrained<BertForSequenceClassification>(directory()).model;
  Adaptable* query = nullptr;
  for (const auto& module : model->named_modules()) {
    if (module.key().ends_with("query")) query = dynamic_cast<Adaptable*>(module.value().get());
  }
  ASSERT_NE(query, nullptr);
  query->add("default", {.rank = 2});
  {
    const torch::NoGradGuard no_grad;
    query->adapter<LowRankAdapter>("default")->lora_B.fill_(0.5);
  }
  EXPECT_EQ(
      error_message([&] { save_pretrained(root_ / "saved", model); }),
      "StateError: adapters are active that are not merged into the weights; merge them, or save them as an adapter. "
      "Layers: bert.encoder.layer.0.attention.self.query");
  query->merge();
  const torch::Tensor merged = model(texts());
  save_pretrained(root_ / "saved", model);
  EXPECT_TRUE(torch::equal(load_pretrained<BertForSequenceClassification>(root_ / "saved").model(texts()), merged));
}

TEST_F(Load, SaveWantsOneType) {
  BertForSequenceClassification model(tiny());
  for (const auto& module : model->named_children()) {
    if (module.key() == "classifier") module.value()->to(torch::kFloat64);
  }
  EXPECT_EQ(
      error_message([&] { save_pretrained(root_ / "saved", model); }),
      "OptionError: \"classifier.weight\" is Double, \"bert.embeddings.word_embeddings.weight\" is Float; a model is "
      "saved in one type: convert it with model->to(...)");
}

}  // namespace
}  // namespace graft::load_test
