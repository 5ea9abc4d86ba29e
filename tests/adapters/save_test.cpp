#include "graft/adapters/peft/save.hpp"
#include "graft/adapters/biases.hpp"
#include "graft/adapters/kinds/dora.hpp"

#include <fstream>
#include <limits>

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "graft/adapters/plan.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft::save_test {
namespace {

struct ModelImpl : torch::nn::Module {
  explicit ModelImpl(std::int64_t width = 6) {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(10, width)));
    query = register_module("query", Linear(torch::nn::LinearOptions(width, width)));
    value = register_module("value", Linear(torch::nn::LinearOptions(width, width)));
    classifier = register_module("classifier", Linear(torch::nn::LinearOptions(width, 2)));
  }
  torch::Tensor forward(const torch::Tensor& ids) { return classifier(value(torch::tanh(query(words(ids))))); }
  Embedding words = nullptr;
  Linear query = nullptr, value = nullptr, classifier = nullptr;
};

const torch::Tensor ids = torch::tensor({1, 2, 3, 9});

void randomise(torch::nn::Module& model) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : model.parameters()) {
    if (parameter.requires_grad()) parameter.normal_();
  }
}

class Save : public testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(7);
    attach(trained, {.rank = 3, .alpha = 5, .dropout = 0.25}, {.layers = {"words", "query"}});
    randomise(trained);
    const torch::NoGradGuard no_grad;
    for (const auto& name : {"words", "query", "value"}) {
      base.named_parameters()[std::string(name) + ".weight"].copy_(
          trained.named_parameters()[std::string(name) + ".weight"]);
    }
    base.query->bias.copy_(trained.query->bias);
    base.value->bias.copy_(trained.value->bias);
    trained.eval();
    base.eval();
  }

  std::string load_failure(const std::filesystem::path& path) {
    const auto before = base.forward(ids);
    const std::string text = error_message([&] { load_adapter(path, base); });
    EXPECT_TRUE(torch::equal(base.forward(ids), before)) << "a failed call changes nothing";
    EXPECT_TRUE(adapters(base).empty());
    EXPECT_TRUE(base.query->weight.requires_grad());
    const std::string start = "FormatError: " + path.string() +
                              ": this adapter does not fit the model; nothing was changed. Check that both are of one "
                              "architecture\n";
    EXPECT_EQ(text.substr(0, start.size()), start);
    return text.substr(std::min(text.size(), start.size()));
  }

  /// Writes the trained adapter after `change` has had its way with names, shapes and config.
  std::filesystem::path altered(const std::function<void(AdapterConfig&, std::vector<TensorBytes>&)>& change) {
    if (!std::filesystem::exists(directory / "sound")) save_adapter(directory / "sound", trained);
    const AdapterDir sound(directory / "sound");
    AdapterConfig config = sound.config();
    std::vector<std::vector<std::byte>> data;
    std::vector<TensorBytes> tensors;
    for (const TensorInfo& info : sound.tensors()) {
      data.emplace_back(info.bytes());
      sound.read(info, data.back());
      tensors.push_back({info.name, info.type, info.shape, data.back()});
    }
    change(config, tensors);
    write_adapter_dir(directory / "altered", config, tensors, {.replace = true});
    return directory / "altered";
  }

  TemporaryDirectory directory;
  ModelImpl trained, base;
};

TEST_F(Save, WhatIsSavedIsLoadedBitForBitHeadIncluded) {
  const auto expected = trained.forward(ids);
  save_adapter(directory / "a", trained, "default", {.base_model = "some/base", .task_type = "SEQ_CLS"});
  const auto loaded = load_adapter(directory / "a", base);
  EXPECT_EQ(loaded.layers, (std::vector<std::string>{"words", "query"}));
  EXPECT_EQ(loaded.heads, std::vector<std::string>{"classifier"});
  EXPECT_EQ(loaded.config.r, 3);
  EXPECT_EQ(loaded.config.lora_alpha, 5);
  EXPECT_EQ(loaded.config.lora_dropout, 0.25);
  EXPECT_EQ(loaded.config.target_modules.names, (std::vector<std::string>{"query", "words"}));
  EXPECT_EQ(loaded.config.base_model_name_or_path, "some/base");
  EXPECT_TRUE(torch::equal(base.forward(ids), expected));
  EXPECT_EQ(base.query->adapter<LowRankAdapter>("default")->options.dropout, 0.25);
  EXPECT_TRUE(base.classifier->weight.requires_grad());
  EXPECT_FALSE(base.value->weight.requires_grad());
}

TEST_F(Save, ARoundTripChangesNoByteOfTheWeights) {
  save_adapter(directory / "a", trained);
  load_adapter(directory / "a", base, "other");
  save_adapter(directory / "b", base, "other");
  for (const auto* file : {"adapter_model.safetensors", "adapter_config.json"}) {
    std::ifstream a(directory / "a" / file, std::ios::binary), b(directory / "b" / file, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(a), {}), std::string(std::istreambuf_iterator<char>(b), {}))
        << file;
  }
}

TEST_F(Save, NamesAndShapesAreThoseOfPeft) {
  save_adapter(directory / "a", trained);
  const SafetensorsFile file(directory / "a" / "adapter_model.safetensors");
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const TensorInfo& info : file.tensors()) shapes[info.name] = info.shape;
  EXPECT_EQ(shapes,
            (std::map<std::string, std::vector<std::int64_t>>{{"base_model.model.classifier.bias", {2}},
                                                              {"base_model.model.classifier.weight", {2, 6}},
                                                              {"base_model.model.query.lora_A.weight", {3, 6}},
                                                              {"base_model.model.query.lora_B.weight", {6, 3}},
                                                              {"base_model.model.words.lora_embedding_A", {3, 10}},
                                                              {"base_model.model.words.lora_embedding_B", {6, 3}}}));
}

TEST_F(Save, ThePlanKnowsTheSizeOfTheFile) {
  save_adapter(directory / "a", trained);
  const Plan planned =
      plan(shape_of(trained), {.adapter = LoraOptions{.rank = 3}, .targets = {.layers = {"words", "query"}}});
  EXPECT_EQ(planned.file_bytes,
            static_cast<std::int64_t>(std::filesystem::file_size(directory / "a" / "adapter_model.safetensors")));

  detach(trained, "default");
  const auto compare = [&](const auto& adapter, const Targets& targets, const char* name) {
    const Plan expected = plan(shape_of(trained), {.adapter = adapter, .targets = targets});
    attach(trained, adapter, targets);
    save_adapter(directory / name, trained);
    const auto bytes = std::filesystem::file_size(directory / name / "adapter_model.safetensors");
    EXPECT_EQ(expected.file_bytes, static_cast<std::int64_t>(bytes)) << name;
    const ParameterCount found = count_parameters(trained).all;
    EXPECT_EQ(expected.parameters.all.trained, found.trained) << name;
    EXPECT_EQ(expected.parameters.all.stored, found.stored) << name;
    detach(trained, "default");
  };
  compare(DoraOptions({.rank = 2}), {.layers = {"words", "query"}}, "dora");
  compare(LoraOptions{.rank = 2, .start = LowRankStart::pissa}, {.layers = {"value", "query"}}, "pissa");
  compare(LoraOptions{.rank = 2, .bias = true}, {.layers = {"value", "query"}}, "bias");
  compare(Ia3Options{.feed_forward = {"value"}}, {.layers = {"value", "query"}}, "ia3");
}

TEST_F(Save, LayersOfDifferentRankAndAlphaGoIntoPatterns) {
  ModelImpl model;
  const std::map<std::string, LoraOptions> layers{
      {"query", {.rank = 2, .alpha = 4}}, {"value", {.rank = 3, .alpha = 4}}, {"words", {.rank = 2, .alpha = 9}}};
  attach(model, layers, {"classifier"});
  randomise(model);
  model.eval();
  save_adapter(directory / "a", model);
  const AdapterConfig config = AdapterDir(directory / "a").config();
  EXPECT_EQ(config.r, 2);
  EXPECT_EQ(config.lora_alpha, 4);
  EXPECT_EQ(config.rank_pattern, (OrderedMap<std::int64_t>{{"^value", 3}}));
  EXPECT_EQ(config.alpha_pattern, (OrderedMap<double>{{"^words", 9}}));
  load_adapter(directory / "a", base);
  EXPECT_EQ(base.value->adapter<LowRankAdapter>("default")->options.rank, 3);
  EXPECT_EQ(base.words->adapter<LowRankAdapter>("default")->scale(), 4.5);
}

TEST_F(Save, ScaleOfRsLoraIsKept) {
  ModelImpl model;
  attach(model, {.rank = 4, .alpha = 6, .divisor = LowRankScale::root_of_rank}, {.layers = {"query"}});
  EXPECT_EQ(model.query->adapter<LowRankAdapter>("default")->scale(), 3.0);
  save_adapter(directory / "a", model);
  EXPECT_TRUE(AdapterDir(directory / "a").config().use_rslora);
  load_adapter(directory / "a", base);
  EXPECT_EQ(base.query->adapter<LowRankAdapter>("default")->scale(), 3.0);
}

TEST_F(Save, TargetsAreEndingsOnlyWhereTheyNameTheSameLayers) {
  ModelImpl model;
  attach(model, {.rank = 2}, {.layers = {"value"}});
  save_adapter(directory / "a", model);
  EXPECT_EQ(AdapterDir(directory / "a").config().target_modules.names, std::vector<std::string>{"value"});
}

TEST_F(Save, MergedOrNotTheFileIsTheSame) {
  save_adapter(directory / "a", trained);
  merge(trained);
  save_adapter(directory / "b", trained);
  const AdapterDir a(directory / "a"), b(directory / "b");
  EXPECT_EQ(a.tensors().size(), b.tensors().size());
  load_adapter(directory / "b", base);
  unmerge(trained);
  EXPECT_TRUE(torch::equal(base.forward(ids), trained.forward(ids)));
}

TEST_F(Save, WhatWouldBeLostIsRefused) {
  trained.value->bias.set_requires_grad(true);
  EXPECT_EQ(
      error_message([&] { save_adapter(directory / "a", trained); }),
      "OptionError: trained parameters of no adapter and no head would be lost: \"value.bias\"; freeze them, or name "
      "their modules as heads");
  EXPECT_FALSE(std::filesystem::exists(directory / "a"));
  EXPECT_EQ(error_message([&] { save_adapter(directory / "a", trained, "b"); }),
            "OptionError: no layer has an adapter called \"b\"; there are: default");
  EXPECT_EQ(error_message([&] {
              save_adapter(directory / "a", trained, "default", {.heads = std::vector<std::string>{"score"}});
            }),
            "OptionError: the model has no head \"score\"");
}

TEST_F(Save, AHeadIsSavedThoughItWasFrozenLater) {
  trained.classifier->weight.set_requires_grad(false);
  trained.classifier->bias.set_requires_grad(false);
  save_adapter(directory / "a", trained);
  EXPECT_EQ(load_adapter(directory / "a", base).heads, std::vector<std::string>{"classifier"});
}

TEST_F(Save, ARenamedKeyIsBothMissingAndExtra) {
  EXPECT_EQ(load_failure(altered([](AdapterConfig&, std::vector<TensorBytes>& tensors) {
              for (auto& tensor : tensors) {
                if (tensor.name == "query.lora_A.weight") tensor.name = "query.lora_a.weight";
              }
            })),
            "  missing in the file (1): \"query.lora_A.weight\"\n"
            "  not in the model (1): \"query.lora_a.weight\"");
}

TEST_F(Save, AMissingHeadIsNotARandomHead) {
  EXPECT_EQ(load_failure(altered([](AdapterConfig&, std::vector<TensorBytes>& tensors) {
              std::erase_if(tensors, [](const auto& tensor) { return tensor.name.starts_with("classifier"); });
            })),
            "  missing in the file (2): \"classifier.weight\", \"classifier.bias\"");
}

TEST_F(Save, ALayerThatTheConfigNamesMustHaveItsWeights) {
  EXPECT_EQ(load_failure(altered([](AdapterConfig& config, std::vector<TensorBytes>&) {
              config.target_modules.names.push_back("value");
            })),
            "  missing in the file (2): \"value.lora_A.weight\", \"value.lora_B.weight\"");
}

TEST_F(Save, RanksOfConfigAndWeightsMustAgree) {
  EXPECT_EQ(
      load_failure(altered([](AdapterConfig& config, std::vector<TensorBytes>&) { config.rank_pattern["query"] = 2; })),
      "  layer \"query\" has rank 3 by its weights and 2 by the config");
  // Takes no layer, and is answered at once.
  load_adapter(altered([](AdapterConfig& config, std::vector<TensorBytes>&) { config.alpha_pattern["(a+)+$"] = 2; }),
               base);
  EXPECT_EQ(base.query->adapter<LowRankAdapter>("default")->options.alpha, 5);
}

TEST_F(Save, TokenRowsOfTheConfigMustBeInTheFileAndTheModel) {
  const auto with_rows = [&](const std::string& name, std::vector<std::int64_t> rows) {
    return altered([&](AdapterConfig& config, std::vector<TensorBytes>&) {
      config.trainable_token_indices = {{name, rows}};
    });
  };
  EXPECT_EQ(load_failure(with_rows("", {1})),
            "  missing in the file (1): \"words.token_adapter.trainable_tokens_delta\"");
  EXPECT_EQ(load_failure(with_rows("places", {1})),
            "  \"trainable_token_indices\" names \"places\", and the model has no such embedding");
  EXPECT_NE(load_failure(with_rows("words", {10})).find("token 10 is not among the 10 of layer \"words\""),
            std::string::npos);
}

TEST_F(Save, TokenRowsComeBackBesideLora) {
  detach(trained, "default");
  attach(trained, {.rank = 2}, {.layers = {"query"}});
  train_token_rows(trained, "words", {9, 2});
  randomise(trained);
  save_adapter(directory / "rows", trained);
  const LoadedAdapter loaded = load_adapter(directory / "rows", base);
  EXPECT_EQ(loaded.layers, (std::vector<std::string>{"words", "query"}));
  EXPECT_EQ(loaded.config.trainable_token_indices,
            (decltype(loaded.config.trainable_token_indices){{"words", {2, 9}}}));
  EXPECT_TRUE(torch::equal(base.forward(ids), trained.forward(ids)));
  EXPECT_TRUE(base.words->adapter("default")->parameters()[0].requires_grad());
}

TEST_F(Save, Ia3ComesBackWithItsSides) {
  detach(trained, "default");
  attach(trained, Ia3Options{.feed_forward = {"value"}}, {.layers = {"query", "value"}}, "default");
  randomise(trained);
  save_adapter(directory / "ia3", trained, "default", {.data = "0123"});
  const LoadedAdapter loaded = load_adapter(directory / "ia3", base, "again");
  EXPECT_EQ(loaded.config.peft_type, "IA3");
  EXPECT_EQ(loaded.config.target_modules.names, (std::vector<std::string>{"query", "value"}));
  EXPECT_EQ(loaded.config.feedforward_modules.names, std::vector<std::string>{"value"});
  EXPECT_EQ(loaded.metadata.at("graft.data"), "0123");
  EXPECT_TRUE(loaded.warnings.empty());
  EXPECT_TRUE(torch::equal(base.forward(ids), trained.forward(ids)));
}

TEST_F(Save, AnAdapterThatStartedAtTheWeightIsStoredAsOrdinaryLora) {
  for (const LowRankStart start : {LowRankStart::pissa, LowRankStart::olora}) {
    for (const LowRankScale divisor : {LowRankScale::rank, LowRankScale::root_of_rank}) {
      for (const auto& name : adapters(trained)) detach(trained, name);
      for (const auto& name : adapters(base)) detach(base, name);
      attach(trained, {.rank = 2, .alpha = 5, .start = start, .divisor = divisor}, {.layers = {"query", "value"}});
      {
        const torch::NoGradGuard no_grad;
        for (torch::Tensor& parameter : trained.parameters()) {
          if (parameter.requires_grad()) parameter.add_(torch::randn_like(parameter), 0.2);
        }
      }
      save_adapter(directory / "start", trained, "default", {.replace = true});
      const LoadedAdapter loaded = load_adapter(directory / "start", base);
      EXPECT_EQ(loaded.config.r, 4);
      EXPECT_EQ(loaded.config.init_lora_weights, "true");
      EXPECT_NEAR(base.query->adapter<LowRankAdapter>("default")->scale(),
                  trained.query->adapter<LowRankAdapter>("default")->scale(), 1e-12);
      EXPECT_EQ(loaded.heads, std::vector<std::string>{"classifier"});
      EXPECT_TRUE(torch::allclose(base.forward(ids), trained.forward(ids), 1e-5, 1e-6));
    }
  }
  detach(trained, "default");
  attach(trained, {.rank = 4, .start = LowRankStart::olora}, {.layers = {"query"}});
  EXPECT_EQ(error_message([&] { save_adapter(directory / "large", trained); }),
            "OptionError: layer \"query\" would be stored with rank 8, twice its own, which is more than its weight "
            "[6, 6] has; merge it instead");
}

TEST_F(Save, AnAdapterPutOnAnotherBaseSaysSo) {
  save_adapter(directory / "a", trained);
  EXPECT_TRUE(load_adapter(directory / "a", base).warnings.empty());
  detach(base, "default");
  {
    const torch::NoGradGuard no_grad;
    base.query->weight[0][0] += 1e-3;
  }
  const auto warnings = load_adapter(directory / "a", base).warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("was trained on a base whose adapted weights have the fingerprint "), std::string::npos);
}

TEST_F(Save, KindsThatOneFileCannotHoldAreRefused) {
  detach(trained, "default");
  attach(trained, {.rank = 2}, {.layers = {"query"}});
  trained.value->add("default", Ia3Options{.side = Ia3Side::output});
  EXPECT_EQ(error_message([&] { save_adapter(directory / "both", trained); }),
            "OptionError: adapter \"default\" is of LoRA in some layers and of IA3 in others, and "
            "adapter_config.json has room for one; save them as two adapters");
  detach(trained, "default");
  train_token_rows(trained, "words", {1});
  EXPECT_NE(error_message([&] { save_adapter(directory / "rows", trained); }).find("of trained token rows alone"),
            std::string::npos);
}

TEST_F(Save, WhatTheConfigAsksForMustBeInTheFile) {
  EXPECT_EQ(load_failure(altered([](AdapterConfig& config, std::vector<TensorBytes>&) { config.use_dora = true; })),
            "  missing in the file (2): \"words.lora_magnitude_vector\", \"query.lora_magnitude_vector\"\n"
            "  it holds no adapter for any layer of the model");
  EXPECT_EQ(
      load_failure(altered([](AdapterConfig& config, std::vector<TensorBytes>&) { config.bias = AdapterBias::all; })),
      "  missing in the file (2): \"query.base_layer.bias\", \"value.bias\"");
}

TEST_F(Save, ARegularExpressionNamesLayersThatMustBeThere) {
  const auto named = [&](const std::string& pattern) {
    return altered([&](AdapterConfig& config, std::vector<TensorBytes>&) { config.target_modules = {{}, pattern}; });
  };
  EXPECT_EQ(load_failure(named("words|.*u.*")),
            "  missing in the file (2): \"value.lora_A.weight\", \"value.lora_B.weight\"");
  // A matcher that backtracks would take about 2^50 steps for a name of 50 letters; none of these is taken.
  load_adapter(named("(a+)+$"), base);
  EXPECT_EQ(
      error_message([&] { named("(query"); }),
      "OptionError: adapter config: \"target_modules\" has the regular expression \"(query\", character 0: \"(\" is "
      "not closed");
}

TEST_F(Save, BiasesOfTheAdaptedLayersOrOfAllGoIntoTheFile) {
  EXPECT_EQ(train_biases(trained, AdapterBias::lora_only), std::vector<std::string>{"query.bias"});
  randomise(trained);
  save_adapter(directory / "a", trained);
  const AdapterDir some(directory / "a");
  EXPECT_EQ(some.config().bias, AdapterBias::lora_only);
  EXPECT_NE(some.find("query.base_layer.bias"), nullptr);
  train_biases(trained, AdapterBias::all);
  randomise(trained);
  save_adapter(directory / "b", trained);
  EXPECT_EQ(AdapterDir(directory / "b").config().bias, AdapterBias::all);
  EXPECT_EQ(load_adapter(directory / "b", base).biases, (std::vector<std::string>{"query.bias", "value.bias"}));
  EXPECT_TRUE(torch::equal(base.forward(ids), trained.forward(ids)));
  EXPECT_TRUE(base.value->bias.requires_grad());
  EXPECT_EQ(error_message([&] { train_biases(trained, AdapterBias::lora_only, "b"); }),
            "OptionError: no layer has an adapter called \"b\"; there are: default");
}

TEST_F(Save, BitFitTrainsBiasesAndHeadsAlone) {
  EXPECT_EQ(train_only_biases(base),
            (std::vector<std::string>{"query.bias", "value.bias", "classifier.weight", "classifier.bias"}));
  EXPECT_FALSE(base.query->weight.requires_grad());
}

TEST_F(Save, DoraAndLoraDoNotGoIntoOneFile) {
  ModelImpl model;
  attach(model, {.rank = 2}, {.layers = {"query"}});
  model.value->add("default", DoraOptions({.rank = 2}));
  EXPECT_EQ(error_message([&] { save_adapter(directory / "a", model); }),
            "OptionError: adapter \"default\" is of LoRA in some layers and of DoRA in others, and "
            "adapter_config.json has room for one; save them as two adapters");
}

TEST_F(Save, AnAdapterForAnotherArchitectureIsRefused) {
  save_adapter(directory / "a", trained);
  ModelImpl wide(8);
  const std::string text = error_message([&] { load_adapter(directory / "a", wide); });
  EXPECT_NE(
      text.find("\n  of another shape (4): \"classifier.weight\" is [2, 6], not [2, 8], \"words.lora_embedding_B\" is "
                "[6, 3], not [8, 3], \"query.lora_A.weight\" is [3, 6], not [3, 8], \"query.lora_B.weight\" is [6, 3], "
                "not [8, 3]"),
      std::string::npos)
      << text;
  EXPECT_TRUE(adapters(wide).empty());
  torch::nn::Sequential other(torch::nn::Linear(2, 2));
  EXPECT_NE(error_message([&] {
              load_adapter(directory / "a", *other);
            }).find("it holds no adapter for any layer of the model"),
            std::string::npos);
}

TEST_F(Save, ANameThatIsTakenIsRefused) {
  save_adapter(directory / "a", trained);
  load_adapter(directory / "a", base);
  EXPECT_EQ(error_message([&] { load_adapter(directory / "a", base); }).substr(0, 22), "OptionError: 2 faults:");
  load_adapter(directory / "a", base, "second");
  EXPECT_EQ(adapters(base), (std::vector<std::string>{"default", "second"}));
}

}  // namespace
}  // namespace graft::save_test
