// graft's embedder against sentence-transformers on the same directories.

#include <filesystem>
#include <iostream>
#include <map>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/io/safetensors.hpp"
#include "graft/rag/embedder.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

class EmbedderParity : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    run_python("embedder.py", {GRAFT_DEPS, directory_->path().string()});
    if (!HasFatalFailure()) texts_ = read_json(*directory_ / "texts.json");
  }
  static void TearDownTestSuite() { delete directory_; }

  static std::vector<std::string> texts(const std::string& name) {
    return texts_.at(name).get<std::vector<std::string>>();
  }

  static torch::Tensor theirs(const std::string& model, const std::string& name) {
    const SafetensorsFile file(*directory_ / (model + ".safetensors"));
    const TensorInfo& info = *file.find(name);
    torch::Tensor tensor = torch::empty(info.shape);
    file.read(info, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
    return tensor;
  }

  /// The largest difference of a number of a vector, against the largest number of all.
  static double error(const torch::Tensor& ours, const torch::Tensor& theirs) {
    EXPECT_EQ(ours.sizes(), theirs.sizes());
    return ((ours - theirs).abs().max() / theirs.abs().max()).item<double>();
  }

  static inline TemporaryDirectory* directory_ = nullptr;
  static inline Json texts_;
};

TEST_F(EmbedderParity, ReviewsAndLongTextsHaveTheVectorsOfSentenceTransformers) {
  const Embedder embedder(GRAFT_DEPS "/model");
  EXPECT_EQ(embedder.max_tokens(), 256u);
  for (const std::string name : {"reviews", "long"}) {
    const torch::Tensor ours = embedder.embed(texts(name)), expected = theirs("minilm", name);
    // A number of a vector of length 1; float32 through 6 layers.
    const double difference = (ours - expected).abs().max().item<double>();
    std::cout << ours.size(0) << " " << name << ": largest difference " << difference << "\n";
    EXPECT_LT(difference, 1e-6) << name;
  }
}

TEST_F(EmbedderParity, EveryPoolingLayerPromptAndLayoutIsThatOfSentenceTransformers) {
  const std::vector<std::string> reviews = texts("reviews");
  const std::vector<std::string> few(reviews.begin(), reviews.begin() + 40);
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_->path())) {
    if (!std::filesystem::exists(entry.path() / "modules.json")) continue;
    ++models;
    const std::string name = entry.path().filename().string();
    const Embedder embedder(entry.path());
    EXPECT_EQ(embedder.width(), theirs(name, "plain").size(1)) << name;
    // float32 through 2 layers with weights that are large on purpose.
    EXPECT_LT(error(embedder.embed(few), theirs(name, "plain")), 2e-6) << name;
    EXPECT_LT(error(embedder.embed(few, embedder.query_prompt()), theirs(name, "query")), 2e-6) << name;
    EXPECT_LT(error(embedder.embed(few, embedder.document_prompt()), theirs(name, "document")), 2e-6) << name;
  }
  EXPECT_EQ(models, 16);
}

}  // namespace
}  // namespace graft
