// Losses and gradients of encoders beside sentence-transformers, and encoders that it opens.

#include <filesystem>
#include <iostream>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/json.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/models/sentence_encoder.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/rag/text_pairs.hpp"
#include "graft/tensor/state.hpp"
#include "graft/training/similarity_loss.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

torch::Tensor read(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& info = *file.find(name);
  torch::Tensor tensor = torch::empty(info.shape, info.type == ElementType::F64 ? torch::kDouble : torch::kFloat);
  file.read(info, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
  return tensor;
}

class SentenceTrainingParity : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    run_python("vector_losses.py", {GRAFT_DEPS, directory_->path().string()});
    run_python("sentence_training.py", {"make", GRAFT_DEPS, directory_->path().string()});
  }
  static void TearDownTestSuite() { delete directory_; }

  static std::filesystem::path path(const std::string& name) { return directory_->path() / name; }
  static std::vector<std::string> texts(const std::string& name) {
    return read_json(path("texts.json")).at(name).get<std::vector<std::string>>();
  }
  static std::vector<QuestionPairs> pairs() {
    const std::vector<std::string> questions = texts("questions"), answers = texts("answers");
    std::vector<QuestionPairs> rows;
    for (std::size_t i = 0; i < questions.size(); ++i) rows.push_back({questions[i], {answers[i]}});
    return rows;
  }

  static inline TemporaryDirectory* directory_ = nullptr;
};

TEST_F(SentenceTrainingParity, LossesAndGradientsOfVectorsAreThoseOfSentenceTransformers) {
  const SafetensorsFile file(path("losses.safetensors"));
  const torch::Tensor wanted = read(file, "wanted"), margins = read(file, "margins");
  using Vectors = std::vector<torch::Tensor>;
  const auto in_batch = [](const Vectors& v, InBatchSoftmaxOptions options = {}) {
    return in_batch_softmax(v[0], v.size() == 2 ? v[1] : torch::cat(Vectors(v.begin() + 1, v.end())), {}, options);
  };
  const std::vector<std::tuple<std::string, std::string, std::function<Loss(const Vectors&)>>> losses = {
      {"in_batch", "ab", [&](const Vectors& v) { return in_batch(v); }},
      {"in_batch_dot", "ab",
       [&](const Vectors& v) { return in_batch(v, {.scale = 0.3, .similarity = Similarity::dot}); }},
      {"in_batch_negatives", "abcd", [&](const Vectors& v) { return in_batch(v, {.scale = 7}); }},
      {"in_batch_symmetric", "abc", [&](const Vectors& v) { return in_batch(v, {.symmetric = true}); }},
      {"cosent", "ab", [&](const Vectors& v) { return cosent_loss(v[0], v[1], wanted); }},
      {"cosine", "ab", [&](const Vectors& v) { return cosine_loss(v[0], v[1], wanted); }},
      {"triplet", "abc", [&](const Vectors& v) { return triplet_loss(v[0], v[1], v[2]); }},
      {"triplet_near", "abc", [&](const Vectors& v) { return triplet_loss(v[0], v[1], v[2], 0.5); }},
      {"margin_mse", "abc", [&](const Vectors& v) { return margin_mse_loss(v[0], v[1], v[2], margins); }},
      {"matryoshka", "ab", [&](const Vectors& v) {
         return matryoshka_loss(v, std::vector<MatryoshkaWidth>{{12}, {8, 0.5}, {3, 0.25}},
                                [](std::span<const torch::Tensor> cut) { return in_batch_softmax(cut[0], cut[1]); });
       }}};
  for (const auto& [name, sides, loss_of] : losses) {
    Vectors vectors;
    for (const char side : sides) vectors.push_back(read(file, std::string("vectors.") + side).requires_grad_());
    const torch::Tensor loss = loss_of(vectors).mean();
    loss.backward();
    EXPECT_NEAR(loss.item<double>(), read(file, name + ".value").item<double>(), 1e-11) << name;
    for (std::size_t i = 0; i < sides.size(); ++i)
      EXPECT_LT((vectors[i].grad() - read(file, name + "." + sides[i])).abs().max().item<double>(), 1e-11)
          << name << " " << sides[i];
  }
}

TEST_F(SentenceTrainingParity, GradientsOfWholeEncodersAreThoseOfSentenceTransformers) {
  for (const std::string name : {"plain", "layers"}) {
    SentenceEncoder encoder(path(name));
    const TextPairs data(pairs(), *encoder);
    std::vector<std::int64_t> rows(static_cast<std::size_t>(data.size()));
    std::iota(rows.begin(), rows.end(), 0);
    const TextPairs::Batch batch = data.batch(rows);
    EXPECT_FALSE(batch.not_rivals.any().item<bool>());
    const torch::Tensor loss = in_batch_softmax(encoder(batch.questions, data.question_prompt()),
                                                encoder(batch.answers, data.answer_prompt()), batch.not_rivals)
                                   .mean();
    loss.backward();
    const SafetensorsFile file(path(name + ".safetensors"));
    EXPECT_NEAR(loss.item<double>(), read(file, "loss").item<double>(), 2e-6 * loss.item<double>()) << name;
    std::size_t compared = 0;
    double worst = 0;
    for (const auto& parameter : encoder->named_parameters()) {
      if (!parameter.value().requires_grad()) continue;
      // Of the modules the encoder is the first, and behind the Pooling layer_0 the third.
      std::string theirs = parameter.key();
      if (theirs.starts_with("encoder."))
        theirs.replace(0, std::string("encoder").size(), "0");
      else
        theirs.replace(0, std::string("layer_0").size(), std::to_string(2 + theirs[6] - '0'));
      ASSERT_NE(file.find(theirs), nullptr) << parameter.key() << " " << theirs;
      const torch::Tensor expected = read(file, theirs), ours = parameter.value().grad();
      ASSERT_TRUE(ours.defined()) << parameter.key();
      // What cancels to nothing, such as the gradient of a key's bias, is held against a usual gradient.
      const double size = std::max(expected.abs().max().item<double>(), 1e-2);
      worst = std::max(worst, (ours - expected).abs().max().item<double>() / size);
      ++compared;
    }
    EXPECT_EQ(compared, file.tensors().size() - 1) << name;
    std::cout << name << ": largest difference of a gradient " << worst << "\n";
    EXPECT_LT(worst, 5e-5) << name;  // float32 through 2 layers with weights that are large on purpose
  }
}

TEST_F(SentenceTrainingParity, WhatIsSavedOpensThereWithTheSameVectors) {
  const std::vector<std::string> questions = texts("questions");
  const torch::NoGradGuard no_grad;
  torch::manual_seed(1);
  std::vector<std::string> names;
  for (const std::string name : {"plain", "layers"}) {
    SentenceEncoder encoder(path(name));
    for (torch::Tensor& parameter : encoder->parameters()) parameter.add_(0.05 * torch::randn_like(parameter));
    encoder->save(path(name + "-trained"));
    names.push_back(name + "-trained");
    EXPECT_TRUE(
        encoder(pack(encoder->encode(questions))).allclose(Embedder(path(names.back())).embed(questions), 1e-5, 1e-6));
  }
  std::filesystem::copy(path("plain"), path("adapted"), std::filesystem::copy_options::recursive);
  SentenceEncoder encoder(path("plain"));
  attach(encoder->encoder(), LoraOptions{.rank = 4, .alpha = 8},
         Targets{.layers = {"all-linear"}, .excluded = {"pooler.dense"}});
  for (const auto& parameter : encoder->encoder().named_parameters())
    if (parameter.value().requires_grad()) parameter.value().normal_(0, 0.2);
  save_adapter(path("adapted.adapter"), encoder->encoder(), "default", {.task_type = "FEATURE_EXTRACTION"});
  names.push_back("adapted");
  const Embedder with_adapter(path("adapted"), {.adapter = path("adapted.adapter")}), without(path("adapted"));
  EXPECT_NE(with_adapter.space().model, without.space().model);
  EXPECT_TRUE(with_adapter.space().model.starts_with(without.space().model + "+"));
  EXPECT_TRUE(encoder(pack(encoder->encode(questions))).allclose(with_adapter.embed(questions), 1e-4, 1e-5));
  EXPECT_GT((with_adapter.embed(questions) - without.embed(questions)).abs().max().item<double>(), 0.01);

  std::vector<std::string> arguments{"open", GRAFT_DEPS, directory_->path().string()};
  arguments.insert(arguments.end(), names.begin(), names.end());
  run_python("sentence_training.py", arguments);
  for (const std::string& name : names) {
    const EmbedderOptions options{.adapter = name == "adapted" ? path("adapted.adapter") : std::filesystem::path()};
    const torch::Tensor ours = Embedder(path(name), options).embed(questions);
    const torch::Tensor theirs = read(SafetensorsFile(path(name + ".vectors.safetensors")), "vectors");
    EXPECT_LT(((ours - theirs).abs().max() / theirs.abs().max()).item<double>(), 5e-6) << name;
  }
}

}  // namespace
}  // namespace graft
