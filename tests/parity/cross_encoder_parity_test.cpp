// graft's cross-encoder and the losses of rerankers against sentence-transformers on the same directories and numbers.

#include <filesystem>
#include <iostream>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/rag/cross_encoder.hpp"
#include "graft/training/rerank_loss.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

class CrossEncoderParity : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    run_python("cross_encoder.py", {"make", GRAFT_DEPS, directory_->path().string()});
    if (!HasFatalFailure()) pairs_ = read_json(*directory_ / "pairs.json");
  }
  static void TearDownTestSuite() { delete directory_; }

  /// The largest difference from what predict() gave, which `file` holds, against the largest score if that is above 1.
  static double error(const CrossEncoder& encoder, const std::filesystem::path& file) {
    const Json theirs = read_json(file);
    EXPECT_EQ(encoder.max_tokens(), theirs["max_tokens"]) << file;
    double largest = 0, scale = 0;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const auto passages = pairs_[i][1].get<std::vector<std::string>>();
      const std::vector<double> ours = encoder.score(pairs_[i][0], passages);
      EXPECT_EQ(ours.size(), theirs["scores"][i].size());
      for (std::size_t j = 0; j < ours.size(); ++j) {
        const auto score = theirs["scores"][i][j].get<double>();
        largest = std::max(largest, std::abs(ours[j] - score));
        scale = std::max(scale, std::abs(score));
      }
    }
    return largest / std::max(1.0, scale);
  }

  static torch::Tensor tensor(const std::string& name) {
    const SafetensorsFile file(*directory_ / "losses.safetensors");
    const TensorInfo& info = *file.find(name);
    torch::Tensor out = torch::empty(info.shape);
    file.read(info, {static_cast<std::byte*>(out.data_ptr()), out.nbytes()});
    return out;
  }

  static inline TemporaryDirectory* directory_ = nullptr;
  static inline Json pairs_;
};

TEST_F(CrossEncoderParity, ScoresOfEveryFamilyAndLayoutAreThoseOfSentenceTransformers) {
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_->path())) {
    if (!std::filesystem::exists(entry.path() / "config.json")) continue;
    ++models;
    const double largest = error(CrossEncoder(entry.path()), entry.path().string() + ".json");
    std::cout << entry.path().filename().string() << ": largest difference " << largest << "\n";
    // float32 through 2 layers with weights that are large on purpose.
    EXPECT_LT(largest, 1e-6) << entry.path();
  }
  EXPECT_EQ(models, 10);
}

TEST_F(CrossEncoderParity, BatchesOfOtherSizesGiveTheSame) {
  for (const std::int64_t tokens : {1, 200})
    EXPECT_LT(error(CrossEncoder(*directory_ / "roberta", {.batch_tokens = tokens}), *directory_ / "roberta.json"),
              1e-6);
}

TEST_F(CrossEncoderParity, WhatGraftSavesSentenceTransformersReads) {
  const std::vector<std::string> names = {"bert-v6", "bert-short", "mpnet-v6", "roberta", "trained"};
  const auto saved = [](const std::string& name) { return *directory_ / ("saved/" + name); };
  std::vector<std::string> arguments = {"read", (*directory_ / "pairs.json").string()};
  for (const std::string& name : names) {
    CrossEncoderModel model(*directory_ / name);
    if (name == "trained") model.rescale(0.7, -0.4);
    model.save(saved(name));
    arguments.push_back(saved(name).string());
  }
  run_python("cross_encoder.py", arguments);
  for (const std::string& name : names) {
    const CrossEncoder encoder(saved(name));
    EXPECT_LT(error(encoder, saved(name).string() + ".json"), 1e-6) << name;
    if (name == "bert-v6") continue;  // its prompt is not part of what is saved
    EXPECT_EQ(error(encoder, *directory_ / (name + ".json")) < 1e-6, name != "trained") << name;
  }
}

TEST_F(CrossEncoderParity, LossesAndTheirGradientsAreThoseOfSentenceTransformers) {
  const torch::Tensor targets = tensor("targets"), grades = tensor("grades"), teacher = tensor("teacher");
  const torch::Tensor even = torch::arange(0, 16, 3), uneven = torch::tensor({0, 1, 3, 6, 10, 15}, torch::kInt64);
  const std::pair<std::string, std::function<Loss(const torch::Tensor&)>> cases[] = {
      {"bce", [&](const torch::Tensor& x) { return pointwise_cross_entropy(x, targets); }},
      {"bce_weighted",
       [&](const torch::Tensor& x) { return pointwise_cross_entropy(x, targets, {.positive_weight = 2.5}); }},
      {"listnet", [&](const torch::Tensor& x) { return listwise_cross_entropy(x, grades, even); }},
      {"listnet_uneven", [&](const torch::Tensor& x) { return listwise_cross_entropy(x, grades, uneven); }},
      {"mse", [&](const torch::Tensor& x) { return mean_squared_error(x, teacher); }},
      {"margin", [&](const torch::Tensor& x) { return listwise_margin_error(x, teacher, even); }},
  };
  for (const auto& [name, loss] : cases) {
    const torch::Tensor logits = tensor("logits").requires_grad_();
    const torch::Tensor mean = loss(logits).mean();
    mean.backward();
    const double value = mean.item<double>(), theirs = tensor(name).item<double>();
    EXPECT_NEAR(value, theirs, 1e-6 * std::max(1.0, theirs)) << name;
    const torch::Tensor gradient = tensor(name + ".gradient");
    EXPECT_LT((logits.grad() - gradient).abs().max().item<double>(), 1e-6) << name;
    EXPECT_GT(gradient.abs().max().item<double>(), 1e-2) << name;
  }
}

}  // namespace
}  // namespace graft
