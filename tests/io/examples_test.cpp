// The code that docs/io.md shows.

#include <gtest/gtest.h>

#include <vector>

#include "graft/io/adapter_dir.hpp"
#include "graft/io/dataset.hpp"
#include "graft/io/model_dir.hpp"
#include "support/temporary_directory.hpp"

namespace {

TEST(IoExamples, CopyAModelInShards) {
  const TemporaryDirectory directory;
  const auto from = std::filesystem::path(GRAFT_DEPS "/model");
  const auto to = directory / "copy";

  const graft::ModelDir model(from);
  std::vector<std::byte> bytes;
  const auto read = [&](std::size_t i) -> std::span<const std::byte> {
    bytes.resize(model.tensors()[i].bytes());
    model.read(model.tensors()[i], bytes);
    return bytes;
  };
  graft::write_model_dir(to, model.config(), model.tensors(), read,
                         {.shard_bytes = 50'000'000, .files = graft::tokenizer_files(from)});

  EXPECT_EQ(graft::ModelDir(to).tensors().size(), 104u);
}

TEST(IoExamples, ReadReviews) {
  const auto path = std::filesystem::path(GRAFT_DEPS "/reviews/movieReviewSnippets_GroundTruth.txt");
  std::size_t positive = 0;

  graft::DatasetReader reader(path, {"1", "2"}, {.format = graft::DatasetFormat::tsv, .header = false});
  for (graft::DatasetRow row; reader.next(row);) {
    if (std::stod(row.values[0]) > 0) ++positive;
  }

  EXPECT_EQ(positive, 5242u);
}

TEST(IoExamples, WriteAndReadAnAdapter) {
  const TemporaryDirectory place;
  const auto directory = place / "adapter";
  const std::vector<std::byte> zeros(4 * 8);

  const std::vector<graft::TensorBytes> tensors = {
      {"encoder.layer.0.attention.self.query.lora_A.weight", graft::ElementType::F32, {1, 8}, zeros},
      {"encoder.layer.0.attention.self.query.lora_B.weight", graft::ElementType::F32, {8, 1}, zeros}};
  graft::write_adapter_dir(directory, {.r = 1, .target_modules = {.names = {"query"}}}, tensors);
  const graft::AdapterDir adapter(directory);

  EXPECT_EQ(adapter.config().r, 1);
}

}  // namespace
