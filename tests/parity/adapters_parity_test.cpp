// Layers of every adaptable type with PEFT's adapter on them, in graft and in PEFT, in float64.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/save.hpp"
#include "graft/tensor/state.hpp"
#include "support/python.hpp"
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
    classifier = register_module("classifier", Linear(torch::nn::LinearOptions(10, 3)));
    to(torch::kFloat64);
  }
  torch::Tensor forward(const torch::Tensor& ids) {
    const auto x = torch::tanh(query(line(words(ids).transpose(1, 2)).transpose(1, 2)));
    const auto picture = image(x.unsqueeze(1)).mean({1, 2, 3});
    return classifier(x.mean(1)) + picture.unsqueeze(1);
  }
  Embedding words = nullptr;
  Conv1d line = nullptr;
  Conv2d image = nullptr;
  Linear query = nullptr, classifier = nullptr;
};

std::map<std::string, torch::Tensor> read_all(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  std::map<std::string, torch::Tensor> tensors;
  for (const TensorInfo& info : file.tensors()) {
    torch::Tensor tensor = torch::empty(info.shape, *find_scalar_type(info.type));
    file.read(info, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
    tensors.emplace(info.name, tensor);
  }
  return tensors;
}

double relative_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

// Both sides compute in float64; sums in another order cost a few units of 1e-16.
constexpr double tolerance = 1e-13;

class AdaptersParity : public testing::Test {
 protected:
  void SetUp() override {
    run_python("peft_layers.py", {"make", directory.path().string()});
    ASSERT_FALSE(HasFailure());
    expected = read_all(directory / "expected.safetensors");
    load_state(model, SafetensorsFile(directory / "base.safetensors"));
  }

  TemporaryDirectory directory;
  std::map<std::string, torch::Tensor> expected;
  LayersImpl model;
};

TEST_F(AdaptersParity, PeftsAdapterGivesPeftsOutputsGradientsAndMergedModel) {
  const auto ids = expected["ids"];
  EXPECT_LT(relative_difference(model.forward(ids), expected["base"]), tolerance);
  const auto loaded = load_adapter(directory / "peft", model);
  EXPECT_EQ(loaded.layers.size(), 4u);
  EXPECT_EQ(loaded.heads, std::vector<std::string>{"classifier"});

  const auto logits = model.forward(ids);
  EXPECT_LT(relative_difference(logits, expected["logits"]), tolerance);
  (logits * expected["direction"]).sum().backward();
  const std::string prefix = "grad.base_model.model.";
  int compared = 0;
  const auto compare = [&](const std::string& name, const torch::Tensor& tensor) {
    ASSERT_TRUE(expected.count(prefix + name)) << name;
    EXPECT_LT(relative_difference(tensor.grad(), expected[prefix + name]), tolerance) << name;
    ++compared;
  };
  for (const auto& [path, layer] : adaptable_layers(model)) {
    if (path == "classifier") continue;
    compare(path + "." + layer->factor_keys().first, layer->adapter("default")->lora_A);
    compare(path + "." + layer->factor_keys().second, layer->adapter("default")->lora_B);
  }
  compare("classifier.weight", model.classifier->weight);
  compare("classifier.bias", model.classifier->bias);
  EXPECT_EQ(compared, 10);

  merge(model);
  EXPECT_LT(relative_difference(model.forward(ids), expected["merged"]), tolerance);
  unmerge(model);
  choose(model, std::vector<ActiveAdapter>{});
  EXPECT_FALSE(model.query->merged());
}

TEST_F(AdaptersParity, GraftsAdapterOpensInPeftAndGivesTheSameOutput) {
  attach(model,
         {{"words", {.rank = 2, .alpha = 3}},
          {"line", {.rank = 4, .alpha = 3}},
          {"query", {.rank = 2, .alpha = 7}},
          {"image", {.rank = 2, .alpha = 3}}},
         {"classifier"});
  {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model.parameters()) {
      if (parameter.requires_grad()) parameter.normal_(0.0, 0.3);
    }
  }
  save_adapter(directory / "graft", model);
  run_python("peft_layers.py", {"check", directory.path().string()});
  ASSERT_FALSE(HasFailure());
  const auto checked = read_all(directory / "checked.safetensors");
  EXPECT_LT(relative_difference(checked.at("logits"), model.forward(expected["ids"])), tolerance);
}

TEST_F(AdaptersParity, ARoundTripOfPeftsDirectoryChangesNoBit) {
  load_adapter(directory / "peft", model);
  save_adapter(directory / "graft", model);
  const auto theirs = read_all(directory / "peft" / "adapter_model.safetensors");
  const auto ours = read_all(directory / "graft" / "adapter_model.safetensors");
  ASSERT_EQ(ours.size(), theirs.size());
  for (const auto& [name, tensor] : theirs) EXPECT_TRUE(torch::equal(ours.at(name), tensor)) << name;
}

}  // namespace
}  // namespace graft
