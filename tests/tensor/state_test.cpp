#include "graft/tensor/state.hpp"

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

struct NetImpl : torch::nn::Module {
  explicit NetImpl(std::int64_t out = 2) {
    a = register_module("a", torch::nn::Linear(3, 4));
    b = register_module("b", torch::nn::Linear(4, out));
    steps = register_buffer("steps", torch::zeros({2}, torch::kInt64));
  }
  torch::nn::Linear a = nullptr, b = nullptr;
  torch::Tensor steps;
};

std::vector<torch::Tensor> values(const torch::nn::Module& module) {
  std::vector<torch::Tensor> copies;
  for (const auto& [name, tensor] : named_tensors(module)) copies.push_back(tensor.detach().clone());
  return copies;
}

bool equal(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!torch::equal(a[i], b[i])) return false;
  }
  return a.size() == b.size();
}

class State : public testing::Test {
 protected:
  TemporaryDirectory directory;
  const std::filesystem::path file = directory / "model.safetensors";
};

TEST_F(State, NamesAreThePathsOfParametersAndBuffers) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : named_tensors(NetImpl())) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"a.weight", "a.bias", "b.weight", "b.bias", "steps"}));
}

TEST_F(State, WhatIsSavedIsLoadedBitForBit) {
  NetImpl saved, loaded;
  saved.steps.fill_(1234567890123);
  save_tensors(file, named_tensors(saved));
  EXPECT_EQ(SafetensorsFile(file).metadata().at("format"), "pt");
  const auto report = load_state(loaded, SafetensorsFile(file));
  EXPECT_EQ(report.loaded.size(), 5u);
  EXPECT_TRUE(equal(values(saved), values(loaded)));
  EXPECT_TRUE(loaded.a->weight.requires_grad());
  EXPECT_TRUE(loaded.a->weight.is_leaf());
}

TEST_F(State, EveryFaultIsListedAndNothingIsChanged) {
  NetImpl saved, loaded(3);
  NamedTensors tensors = named_tensors(saved);
  tensors[0].first = "A.weight";
  tensors[1].second = tensors[1].second.to(torch::kInt32);
  save_tensors(file, tensors);
  const auto before = values(loaded);
  EXPECT_EQ(error_message([&] { load_state(loaded, SafetensorsFile(file)); }),
            "FormatError: " + file.string() +
                ": its tensors are not those of the module; nothing was loaded. Check that file and module are of one "
                "model\n"
                "  missing in the file (1): \"a.weight\"\n"
                "  not in the module (1): \"A.weight\"\n"
                "  of another shape (2): \"b.weight\" is [2, 4], not [3, 4], \"b.bias\" is [2], not [3]\n"
                "  of another type (1): \"a.bias\" is I32, which does not convert to Float");
  EXPECT_TRUE(equal(values(loaded), before));
}

TEST_F(State, NamesCanBeMappedLeftOutAndIgnored) {
  NetImpl saved, loaded;
  NamedTensors tensors;
  for (const auto& [name, tensor] : named_tensors(saved)) tensors.emplace_back("bert." + name, tensor);
  tensors.pop_back();
  tensors.emplace_back("bert.position_ids", torch::arange(4));
  save_tensors(file, tensors);
  const auto report = load_state(loaded, SafetensorsFile(file),
                                 {.name_in_file = [](const std::string& name) { return "bert." + name; },
                                  .may_lack = [](const std::string& name) { return name == "steps"; },
                                  .may_ignore = [](const std::string& name) { return name == "bert.position_ids"; }});
  EXPECT_EQ(report.lacking, std::vector<std::string>{"steps"});
  EXPECT_EQ(report.ignored, std::vector<std::string>{"bert.position_ids"});
  EXPECT_TRUE(torch::equal(loaded.b->weight, saved.b->weight));
  const std::string text = error_message([&] {
    load_state(loaded, SafetensorsFile(file), {.name_in_file = [](const std::string& name) { return "bert." + name; }});
  });
  EXPECT_NE(text.find("\n  missing in the file (1): \"steps\" (\"bert.steps\")\n"
                      "  not in the module (1): \"bert.position_ids\""),
            std::string::npos)
      << text;
}

TEST_F(State, FloatsAreRoundedToTheModulesType) {
  NetImpl saved, loaded;
  saved.a->to(torch::kFloat64);
  saved.b->to(torch::kFloat64);
  {
    const torch::NoGradGuard no_grad;
    saved.a->weight.fill_(1.0 + 1e-12);
  }
  save_tensors(file, named_tensors(saved));
  load_state(loaded, SafetensorsFile(file));
  EXPECT_EQ(loaded.a->weight.scalar_type(), torch::kFloat32);
  EXPECT_EQ(loaded.a->weight[0][0].item<float>(), 1.0F);
  EXPECT_TRUE(torch::equal(loaded.b->weight, saved.b->weight.to(torch::kFloat32)));
}

TEST_F(State, ViewsAndSharedTensorsAreWrittenOneByOne) {
  const auto tensor = torch::arange(6).view({2, 3});
  save_tensors(file, {{"plain", tensor}, {"turned", tensor.t()}});
  const auto plain = torch::zeros({2, 3}, torch::kInt64), turned = torch::zeros({3, 2}, torch::kInt64);
  load_tensors({{"plain", plain}, {"turned", turned}}, SafetensorsFile(file));
  EXPECT_TRUE(torch::equal(plain, tensor));
  EXPECT_TRUE(torch::equal(turned, tensor.t()));
}

TEST(Dtype, EveryFileTypeThatLibTorchHasGoesBothWays) {
  int without = 0;
  for (int i = 0; i <= static_cast<int>(ElementType::U64); ++i) {
    const auto type = static_cast<ElementType>(i);
    if (const auto scalar = find_scalar_type(type)) {
      EXPECT_EQ(element_type(*scalar), type);
      EXPECT_EQ(static_cast<int>(c10::elementSize(*scalar)) * 8, element_bits(type));
    } else {
      ++without;
    }
  }
  EXPECT_EQ(without, 3);
  EXPECT_EQ(error_message([] { element_type(torch::kComplexDouble); }),
            "OptionError: a safetensors file cannot hold elements of type ComplexDouble; convert the tensor first");
}

TEST(Dtype, ConversionKeepsKindAndNeverNarrowsIntegers) {
  EXPECT_TRUE(convertible(torch::kFloat64, torch::kBFloat16));
  EXPECT_TRUE(convertible(torch::kFloat16, torch::kFloat32));
  EXPECT_TRUE(convertible(torch::kInt32, torch::kInt64));
  EXPECT_FALSE(convertible(torch::kInt64, torch::kInt32));
  EXPECT_FALSE(convertible(torch::kInt32, torch::kFloat32));
  EXPECT_FALSE(convertible(torch::kFloat32, torch::kInt64));
  EXPECT_FALSE(convertible(torch::kBool, torch::kFloat32));
  EXPECT_FALSE(convertible(torch::kFloat32, torch::kFloat8_e5m2));
}

}  // namespace
}  // namespace graft
