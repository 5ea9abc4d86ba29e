// Layers of every adaptable type with PEFT's adapter on them, in graft and in PEFT, in float64.

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/utils.h>

#include <fstream>
#include <map>
#include <set>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/biases.hpp"
#include "graft/adapters/kinds/dora.hpp"
#include "graft/adapters/kinds/lora_fa.hpp"
#include "graft/adapters/kinds/vera.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/tensor/state.hpp"
#include "graft/training/lora_plus.hpp"
#include "support/python.hpp"
#include "support/safetensors.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

// The net of tests/reference/peft_layers.py.
struct LayersImpl : torch::nn::Module {
  LayersImpl() {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(11, 6).padding_idx(0)));
    line = register_module("line", Conv1d(torch::nn::Conv1dOptions(6, 8, 3).padding(1)));
    query = register_module("query", Linear(torch::nn::LinearOptions(8, 10)));
    image = register_module("image", Conv2d(torch::nn::Conv2dOptions(1, 4, {3, 2}).stride({2, 1}).padding({1, 0})));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({10})));
    classifier = register_module("classifier", Linear(torch::nn::LinearOptions(10, 3)));
    to(torch::kFloat64);
  }
  torch::Tensor forward(const torch::Tensor& ids) {
    const auto x = torch::tanh(norm(query(line(words(ids).transpose(1, 2)).transpose(1, 2))));
    const auto picture = image(x.unsqueeze(1)).mean({1, 2, 3});
    return classifier(x.mean(1)) + picture.unsqueeze(1);
  }
  Embedding words = nullptr;
  Conv1d line = nullptr;
  Conv2d image = nullptr;
  Linear query = nullptr, classifier = nullptr;
  torch::nn::LayerNorm norm = nullptr;
};

double relative_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

// Both sides compute in float64; sums in another order cost a few units of 1e-16.
constexpr double tolerance = 1e-13;

const char* const kinds[] = {"plain",          "rslora",        "all_linear",       "patterns",
                             "dora",           "dora_patterns", "lora_bias",        "bias_all",
                             "bias_lora_only", "saved_modules", "saved_embedding",  "token_rows",
                             "input_rows",     "ia3",           "ia3_feed_forward", "ia3_pattern"};

/// PEFT's directories of every kind, made once.
const std::filesystem::path& made() {
  static const TemporaryDirectory directory;
  static const bool done = [] {
    run_python("peft_layers.py", {"make", directory.path().string()});
    return true;
  }();
  EXPECT_TRUE(done);
  return directory.path();
}

/// The net with the base's weights of one kind.
struct Base : LayersImpl {
  explicit Base(const std::string& kind) { load_state(*this, SafetensorsFile(made() / kind / "base.safetensors")); }
};

/// What is trained, by its name in PEFT's files.
std::map<std::string, torch::Tensor> trained_by_name(LayersImpl& model) {
  std::map<std::string, torch::Tensor> trained;
  std::set<std::string> adapted;
  for (const auto& [path, layer] : adaptable_layers(model)) {
    if (!layer->adapter("default")) continue;
    const auto adapter = layer->adapter<LowRankAdapter>("default");
    if (!adapter) {
      const bool rows = layer->adapter<TokenRowsAdapter>("default") != nullptr;
      trained[path + (rows ? ".token_adapter.trainable_tokens_delta" : ".ia3_l")] =
          layer->adapter("default")->parameters()[0];
      continue;
    }
    adapted.insert(path);
    trained[path + "." + layer->layer_type().key_A] = adapter->lora_A;
    trained[path + "." + layer->layer_type().key_B] = adapter->lora_B;
    if (adapter->lora_B_bias.defined()) trained[path + ".lora_B.bias"] = adapter->lora_B_bias;
    if (const auto dora = layer->adapter<DoraAdapter>("default")) {
      trained[path + ".lora_magnitude_vector"] = dora->lora_magnitude_vector;
    }
  }
  for (const auto& parameter : model.named_parameters()) {
    if (!parameter.value().requires_grad() || parameter.key().find(".adapters.") != std::string::npos) continue;
    const std::string layer = parameter.key().substr(0, parameter.key().rfind('.'));
    trained[adapted.count(layer) ? layer + ".base_layer.bias" : parameter.key()] = parameter.value();
  }
  return trained;
}

class AdaptersParity : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path directory = made() / GetParam();
  std::map<std::string, torch::Tensor> expected = read_all(directory / "expected.safetensors");
  Base model{GetParam()};
};

TEST_P(AdaptersParity, PeftsAdapterGivesPeftsOutputsGradientsAndMergedModel) {
  const auto ids = expected["ids"];
  EXPECT_LT(relative_difference(model.forward(ids), expected["base"]), tolerance);
  load_adapter(directory / "peft", model);
  const auto logits = model.forward(ids);
  EXPECT_LT(relative_difference(logits, expected["logits"]), tolerance);
  EXPECT_GT(relative_difference(logits, expected["base"]), 1e-3);
  (logits * expected["direction"]).sum().backward();
  std::size_t gradients = 0;
  const std::string prefix = "grad.base_model.model.";
  for (const auto& [name, tensor] : expected) gradients += name.starts_with(prefix) ? 1 : 0;
  const auto trained = trained_by_name(model);
  EXPECT_EQ(trained.size(), gradients);
  for (const auto& [name, tensor] : trained) {
    ASSERT_TRUE(expected.count(prefix + name)) << name;
    const auto& theirs = expected[prefix + name];
    EXPECT_LT((tensor.grad() - theirs).abs().max().item<double>(), tolerance * (1 + theirs.abs().max().item<double>()))
        << name;
  }

  const auto before = model.query->weight.detach().clone();
  merge(model);
  EXPECT_LT(relative_difference(model.forward(ids), expected["merged"]), tolerance);
  unmerge(model);
  EXPECT_TRUE(torch::equal(model.query->weight, before));
}

TEST_P(AdaptersParity, ARoundTripOfPeftsDirectoryChangesNoBit) {
  load_adapter(directory / "peft", model);
  const TemporaryDirectory ours_directory;
  save_adapter(ours_directory / "a", model);
  const auto theirs = read_all(directory / "peft" / "adapter_model.safetensors");
  const auto ours = read_all(ours_directory / "a" / "adapter_model.safetensors");
  for (const auto& [name, tensor] : theirs) {
    // With bias="all" PEFT writes its two copies of a head's bias beside the one that it reads back.
    if (name.find(".original_module.") != std::string::npos || name.find(".modules_to_save.") != std::string::npos) {
      continue;
    }
    ASSERT_TRUE(ours.count(name)) << name;
    EXPECT_TRUE(torch::equal(ours.at(name), tensor)) << name;
  }
  for (const auto& [name, tensor] : ours) EXPECT_TRUE(theirs.count(name)) << name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, AdaptersParity, testing::ValuesIn(kinds),
                         [](const auto& info) { return std::string(info.param); });

TEST(AdaptersInPeft, GiveTheOutputOfGraft) {
  std::map<std::string, torch::Tensor> logits;
  for (const std::string kind : kinds) {
    Base model(kind);
    load_adapter(made() / kind / "peft", model);
    const torch::NoGradGuard no_grad;
    for (auto& [name, tensor] : trained_by_name(model)) {
      if (name.ends_with("lora_magnitude_vector") || name.ends_with("ia3_l")) {
        tensor.uniform_(0.5, 1.5);
      } else {
        tensor.normal_(0.0, 0.3);
      }
    }
    save_adapter(made() / kind / "graft", model, "default", {.replace = true});
    logits[kind] = model.forward(read_all(made() / kind / "expected.safetensors").at("ids"));
  }
  run_python("peft_layers.py", {"check", made().string()});
  for (const std::string kind : kinds) {
    const auto checked = read_all(made() / kind / "checked.safetensors");
    EXPECT_LT(relative_difference(checked.at("logits"), logits[kind]), tolerance) << kind;
  }
}

// The net of tests/reference/peft_family.py.
struct FamilyImpl : torch::nn::Module {
  FamilyImpl() {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(12, 8)));
    up = register_module("up", Linear(torch::nn::LinearOptions(8, 20)));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({20})));
    down = register_module("down", Linear(torch::nn::LinearOptions(20, 8)));
    classifier = register_module("classifier", Linear(torch::nn::LinearOptions(8, 3)));
  }
  torch::Tensor forward(const torch::Tensor& ids) { return classifier(down(norm(torch::tanh(up(words(ids)))))); }
  Embedding words = nullptr;
  Linear up = nullptr, down = nullptr, classifier = nullptr;
  torch::nn::LayerNorm norm = nullptr;
};

class FamilyParity : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_family = new TemporaryDirectory;
    run_python("peft_family.py", {"make", made_family->path().string()});
  }
  static void TearDownTestSuite() { delete made_family; }

  void SetUp() override {
    load_state(model, SafetensorsFile(directory / "base.safetensors"));
    ids = read_all(directory / "x.safetensors").at("ids");
  }

  /// Copies `values` under `prefix` into the adapter.
  void put(const std::map<std::string, torch::Tensor>& values, const std::string& prefix) {
    const torch::NoGradGuard no_grad;
    for (auto& [name, tensor] : trained()) tensor.copy_(values.at(prefix + name));
  }
  std::map<std::string, torch::Tensor> trained() {
    std::map<std::string, torch::Tensor> all;
    for (const auto& [path, layer] : adaptable_layers(model)) {
      if (const auto adapter = layer->adapter<LowRankAdapter>("default")) {
        all[path + ".lora_A"] = adapter->lora_A;
        all[path + ".lora_B"] = adapter->lora_B;
      }
    }
    return all;
  }

  inline static TemporaryDirectory* made_family = nullptr;
  const std::filesystem::path directory = made_family->path();
  FamilyImpl model;
  torch::Tensor ids;
};

// In float32, in which alone PEFT decomposes weights: a singular vector may come with the other sign, its product not.
TEST_F(FamilyParity, StartsFromTheWeightAreThoseOfPeft) {
  for (const auto& [start, name] : {std::pair(LowRankStart::pissa, "pissa"), std::pair(LowRankStart::olora, "olora")}) {
    const auto expected = read_all(directory / name / "expected.safetensors");
    if (!adapters(model).empty()) detach(model, "default");
    attach(model, {.rank = 3, .alpha = 5, .start = start},
           {.layers = {"up", "down"}, .heads = std::vector<std::string>{}});
    for (const auto* layer : {"up", "down"}) {
      const auto product = [&](auto&& of) {
        return of(std::string(layer) + ".lora_B").mm(of(std::string(layer) + ".lora_A"));
      };
      const auto ours = trained();
      EXPECT_LT(relative_difference(product([&](const std::string& n) { return ours.at(n).detach(); }),
                                    product([&](const std::string& n) { return expected.at("start." + n); })),
                2e-6);
    }
    put(expected, "value.");
    const torch::Tensor out = model.forward(ids);
    EXPECT_LT(relative_difference(out, expected.at("output")), 5e-6) << name;
    out.square().sum().backward();
    for (const auto& [key, tensor] : trained()) {
      EXPECT_LT(relative_difference(tensor.grad(), expected.at("grad." + key)), 2e-5) << name << " " << key;
    }
    const LoadedAdapter loaded = load_adapter(directory / name / "peft", model, "converted");
    EXPECT_EQ(loaded.config.r, 6);
    EXPECT_LT(relative_difference(model.forward(ids), expected.at("output")), 5e-6) << name;
    detach(model, "converted");
    choose(model, "default");
    save_adapter(directory / name / "graft", model);
  }
  run_python("peft_family.py", {"check", directory.string()});
  for (const auto* name : {"pissa", "olora"}) {
    EXPECT_LT(relative_difference(read_all(directory / name / "checked.safetensors").at("output"),
                                  read_all(directory / name / "expected.safetensors").at("output")),
              5e-6)
        << name;
  }
}

TEST_F(FamilyParity, LoraFaTakesTheStepsOfPeft) {
  const auto expected = read_all(directory / "lorafa.safetensors");
  model.to(torch::kFloat64);
  attach(model, {.rank = 3, .alpha = 5}, {.layers = {"up", "down"}, .heads = std::vector<std::string>{}});
  put(expected, "start.");
  const LoraFa fa(model);
  AdamW optimizer({{.parameters = trained_parameters(model), .lr = 1e-2}}, {.eps = 1e-30});
  for (int step = 0; step < 3; ++step) {
    model.forward(ids).square().sum().backward();
    optimizer.step();
    optimizer.zero_grad();
  }
  for (const auto& [name, tensor] : trained()) {
    EXPECT_LT(relative_difference(tensor, expected.at("value." + name)), 1e-9) << name;
  }
}

TEST_F(FamilyParity, LoraPlusHasTheGroupsOfPeft) {
  attach(model, {.rank = 3}, {.layers = {"words", "up", "down"}});
  train_biases(model, AdapterBias::all);
  std::set<std::string> ours, theirs;
  for (const auto& group : lora_plus_groups(model, {.lr = 1e-4, .ratio = 16, .weight_decay = 0.1})) {
    for (const auto& [name, tensor] : group.parameters)
      ours.insert(message(group.lr, " ", group.weight_decay, " ", name));
  }
  std::ifstream file(directory / "loraplus.txt");
  for (std::string line; std::getline(file, line);) theirs.insert(line);
  EXPECT_EQ(ours, theirs);
}

// VeRA, with the net of tests/reference/peft_vera.py.
const std::filesystem::path& vera_made() {
  static const TemporaryDirectory directory;
  static const bool done = [] {
    run_python("peft_vera.py", {"make", directory.path().string()});
    return true;
  }();
  EXPECT_TRUE(done);
  return directory.path();
}

struct VeraBase : FamilyImpl {
  explicit VeraBase(const std::string& kind) {
    to(torch::kFloat64);
    load_state(*this, SafetensorsFile(vera_made() / kind / "base.safetensors"));
  }
  std::map<std::string, torch::Tensor> trained() {
    std::map<std::string, torch::Tensor> all;
    for (const auto& [path, layer] : adaptable_layers(*this)) {
      const auto adapter = layer->adapter("default");
      if (!adapter) continue;
      for (const auto& parameter : adapter->named_parameters()) all[path + "." + parameter.key()] = parameter.value();
    }
    return all;
  }
};

const char* const vera_kinds[] = {"saved", "key_alone", "one_layer", "bias"};

class VeraParity : public testing::TestWithParam<const char*> {
 protected:
  const std::filesystem::path directory = vera_made() / GetParam();
  std::map<std::string, torch::Tensor> expected = read_all(directory / "expected.safetensors");
  VeraBase model{GetParam()};
};

TEST_P(VeraParity, PeftsAdapterGivesPeftsOutputsGradientsAndMergedModel) {
  const torch::Tensor ids = expected["ids"];
  EXPECT_LT(relative_difference(model.forward(ids), expected["base"]), tolerance);
  const LoadedAdapter loaded = load_adapter(directory / "peft", model);
  EXPECT_TRUE(loaded.warnings.empty());
  EXPECT_EQ(loaded.heads, std::vector<std::string>{"classifier"});
  EXPECT_EQ(loaded.biases.size(), GetParam() == std::string("bias") ? 2u : 0u);
  model.eval();
  const torch::Tensor logits = model.forward(ids);
  EXPECT_LT(relative_difference(logits, expected["logits"]), tolerance);
  EXPECT_GT(relative_difference(logits, expected["base"]), 1e-3);
  (logits * expected["direction"]).sum().backward();
  for (const auto& [name, tensor] : model.trained()) {
    EXPECT_LT(relative_difference(tensor.grad(), expected.at("grad.base_model.model." + name)), tolerance) << name;
  }
  const torch::Tensor before = model.down->weight.detach().clone();
  merge(model);
  EXPECT_LT(relative_difference(model.forward(ids), expected["merged"]), tolerance);
  unmerge(model);
  EXPECT_TRUE(torch::equal(model.down->weight, before));
}

TEST_P(VeraParity, ARoundTripOfPeftsDirectoryChangesNoBit) {
  load_adapter(directory / "peft", model);
  const TemporaryDirectory ours_directory;
  save_adapter(ours_directory / "a", model);
  const auto theirs = read_all(directory / "peft" / "adapter_model.safetensors");
  const auto ours = read_all(ours_directory / "a" / "adapter_model.safetensors");
  ASSERT_EQ(ours.size(), theirs.size());
  for (const auto& [name, tensor] : theirs) EXPECT_TRUE(torch::equal(ours.at(name), tensor)) << name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, VeraParity, testing::ValuesIn(vera_kinds),
                         [](const auto& info) { return std::string(info.param); });

TEST(VeraInPeft, GivesTheOutputOfGraftFromTheSameDraws) {
  std::map<std::string, torch::Tensor> logits;
  for (const std::string kind : vera_kinds) {
    const auto directory = vera_made() / kind;
    VeraBase model(kind);
    const auto expected = read_all(directory / "expected.safetensors");
    const AdapterConfig theirs = AdapterDir(directory / "peft").config();
    const VeraOptions options{.rank = 6,
                              .d_initial = theirs.fields["d_initial"],
                              .projection_prng_key = theirs.fields["projection_prng_key"],
                              .save_projection = theirs.fields["save_projection"]};
    attach(model, options, {.layers = theirs.target_modules.names, .pattern = theirs.target_modules.pattern});
    EXPECT_LT(relative_difference(model.forward(expected.at("ids")), expected.at("base")), tolerance) << "b is zero";
    const torch::NoGradGuard no_grad;  // PEFT reads what is trained in float32
    for (auto& [name, tensor] : model.trained()) tensor.copy_(torch::randn(tensor.sizes(), torch::kFloat32));
    save_adapter(directory / "graft", model, "default", {.replace = true});
    logits[kind] = model.forward(expected.at("ids"));
    if (!options.save_projection) continue;
    const auto ours = read_all(directory / "graft" / "adapter_model.safetensors");
    const auto peft = read_all(directory / "peft" / "adapter_model.safetensors");
    for (const auto* name : {"base_model.vera_A", "base_model.vera_B"}) {
      EXPECT_TRUE(torch::equal(ours.at(name).to(torch::kFloat64), peft.at(name))) << kind << " " << name;
    }
  }
  run_python("peft_vera.py", {"check", vera_made().string()});
  for (const std::string kind : vera_kinds) {
    const auto checked = read_all(vera_made() / kind / "checked.safetensors");
    EXPECT_LT(relative_difference(checked.at("logits"), logits[kind]), tolerance) << kind;
  }
}

}  // namespace
}  // namespace graft
