#include "graft/io/model_dir.hpp"
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

const std::vector<std::byte> eight(8, std::byte{5});

TensorBytes tensor(const std::string& name) { return {name, ElementType::F32, {2}, eight}; }

void write_shard(const fs::path& path, const std::vector<std::string>& names) {
  std::vector<TensorBytes> tensors;
  for (const std::string& name : names) tensors.push_back(tensor(name));
  write_safetensors(path, tensors);
}

/// A model of two shards, "a" and "b" in the first, "c" in the second, with that index.
void write_sharded(const fs::path& directory, const std::string& index) {
  write_file(directory / "config.json", "{}");
  write_shard(directory / "one.safetensors", {"a", "b"});
  write_shard(directory / "two.safetensors", {"c"});
  write_file(directory / "model.safetensors.index.json", index);
}

std::string open_error(const fs::path& directory) {
  return replaced(error_message([&] { ModelDir model(directory); }), directory.string(), "D");
}

TEST(ModelDir, ReadsASingleFile) {
  const ModelDir model(GRAFT_DEPS "/model");
  EXPECT_EQ(model.config_fields().integer("hidden_size", 1, 1 << 20), 384);
  EXPECT_EQ(model.tensors().size(), 104u);
  const TensorInfo* info = model.find("embeddings.LayerNorm.weight");
  ASSERT_NE(info, nullptr);
  std::vector<std::byte> bytes(info->bytes());
  model.read(*info, bytes);
  EXPECT_TRUE(std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; }));
  EXPECT_TRUE(model.warnings().empty());
}

TEST(ModelDir, ReadsAcrossShards) {
  const TemporaryDirectory directory;
  write_sharded(directory.path(), R"({"metadata":{"total_size":24},"weight_map":
      {"c":"two.safetensors","a":"one.safetensors","b":"one.safetensors"}})");
  const ModelDir model(directory.path());
  ASSERT_EQ(model.tensors().size(), 3u);
  for (const TensorInfo& info : model.tensors()) {
    std::vector<std::byte> bytes(8);
    model.read(info, bytes);
    EXPECT_EQ(bytes, eight) << info.name;
  }
  EXPECT_TRUE(model.warnings().empty());
  EXPECT_EQ(model.find("d"), nullptr);
  std::vector<std::byte> bytes(8);
  EXPECT_THROW(model.read({.name = "d"}, bytes), OptionError);
}

TEST(ModelDir, FollowsTheLinksOfTheHubCache) {
  const TemporaryDirectory directory;
  fs::create_directories(directory.path() / "blobs");
  fs::create_directories(directory.path() / "snapshots");
  write_file(directory.path() / "blobs" / "0", "{}");
  write_shard(directory.path() / "blobs" / "1", {"a"});
  fs::create_symlink("../blobs/0", directory.path() / "snapshots" / "config.json");
  fs::create_symlink("../blobs/1", directory.path() / "snapshots" / "model.safetensors");
  EXPECT_EQ(ModelDir(directory.path() / "snapshots").tensors().size(), 1u);
}

TEST(ModelDir, WarnsOfAnotherTotalSize) {
  const TemporaryDirectory directory;
  write_sharded(directory.path(), R"({"metadata":{"total_size":25},"weight_map":
      {"c":"two.safetensors","a":"one.safetensors","b":"one.safetensors"}})");
  EXPECT_EQ(ModelDir(directory.path()).warnings(),
            (std::vector<std::string>{(directory / "model.safetensors.index.json").string() +
                                      ": \"metadata\": \"total_size\" is 25, but the tensors have 24 bytes"}));
}

TEST(ModelDir, EveryBadIndexGetsItsMessage) {
  const std::string where = "D/model.safetensors.index.json";
  const auto traversal = [&](const std::string& shown) {
    return "FormatError: " + where + ": \"weight_map\": tensor \"a\" is said to be in \"" + shown +
           "\"; a shard is a file beside the index, its name without a path and ending in .safetensors";
  };
  const struct {
    std::string index, error;
  } rows[] = {
      {R"({})", "FormatError: " + where + ": \"weight_map\" is missing, but must be an object"},
      {R"({"weight_map":{"a":1}})", "FormatError: " + where + ": \"weight_map\": \"a\" is 1, but must be a string"},
      {R"({"weight_map":{"a":"one.safetensors","a":"two.safetensors"}})",
       "FormatError: " + where + ": the key \"a\" is repeated in one object"},
      {R"({"weight_map":{"a":"../one.safetensors"}})", traversal("../one.safetensors")},
      {R"({"weight_map":{"a":"/etc/x.safetensors"}})", traversal("/etc/x.safetensors")},
      {R"({"weight_map":{"a":"x\\one.safetensors"}})", traversal("x\\\\one.safetensors")},
      {R"({"weight_map":{"a":".."}})", traversal("..")},
      {R"({"weight_map":{"a":""}})", traversal("")},
      {R"({"weight_map":{"a":"one\u0000.safetensors"}})", traversal("one\\x00.safetensors")},
      {R"({"weight_map":{"a":"pytorch_model.bin"}})", traversal("pytorch_model.bin")},
      {R"({"weight_map":{"a":"four.safetensors","b":"one.safetensors","c":"five.safetensors"}})",
       "FileError: " + where +
           ": names shards that are not there; copy them too:\n  five.safetensors\n  four.safetensors"},
      {R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors","d":"two.safetensors"}})",
       "FormatError: " + where +
           ": disagrees with the shards; copy all of one version:"
           "\n  \"b\" is in one.safetensors, by the index in two.safetensors"
           "\n  \"b\" is not in two.safetensors"
           "\n  \"d\" is not in two.safetensors"
           "\n  \"c\" is in two.safetensors and not in the index"},
  };
  for (const auto& [index, error] : rows) {
    const TemporaryDirectory directory;
    write_sharded(directory.path(), index);
    EXPECT_EQ(open_error(directory.path()), error) << index;
  }
}

TEST(ModelDir, EveryBadDirectoryGetsItsMessage) {
  const TemporaryDirectory directory;
  const fs::path d = directory / "m";
  EXPECT_EQ(open_error(d),
            "FileError: the model's directory \"D\" is not there; give its path, graft downloads no model");
  write_file(d, "x");
  EXPECT_EQ(open_error(d), "FileError: \"D\" is a file; name the directory that holds config.json");
  fs::remove(d);
  fs::create_directory(d);
  EXPECT_EQ(open_error(d), "FileError: D: holds no config.json; is it a model's directory?");
  write_file(d / "config.json", "[]");
  EXPECT_EQ(open_error(d), "FormatError: D/config.json: is an array of 0, but must be a JSON object");
  write_file(d / "config.json", "{}");
  EXPECT_EQ(open_error(d),
            "FileError: D: holds no model.safetensors and no model.safetensors.index.json; is it a model's directory?");
  write_file(d / "pytorch_model.bin", "x");
  write_file(d / "flax_model.msgpack", "x");
  EXPECT_EQ(
      open_error(d),
      "FileError: D: holds no model.safetensors, only files that could run code or that graft does not read; convert "
      "to safetensors:\n  \"flax_model.msgpack\"\n  \"pytorch_model.bin\"");
  write_shard(d / "model.safetensors", {"a"});
  EXPECT_EQ(open_error(d), "(no error)");
  write_file(d / "model.safetensors.index.json", "{}");
  EXPECT_EQ(open_error(d),
            "FormatError: D: holds both model.safetensors and model.safetensors.index.json; take away the one that is "
            "out of date");
}

TEST(WriteModelDir, CutsIntoShardsThatReadBack) {
  const TemporaryDirectory directory;
  const std::vector<TensorBytes> tensors = {tensor("a"), tensor("b"), tensor("c"), tensor("d"), tensor("e")};
  write_file(directory / "vocab.txt", "[UNK]\n");
  write_model_dir(directory / "m", {{"hidden_size", 2}}, tensors,
                  {.shard_bytes = 16, .files = tokenizer_files(directory.path())});
  EXPECT_TRUE(fs::exists(directory.path() / "m" / "model-00003-of-00003.safetensors"));
  EXPECT_EQ(read_file(directory.path() / "m" / "vocab.txt", 100), "[UNK]\n");
  const ModelDir model(directory / "m");
  EXPECT_EQ(model.tensors().size(), 5u);
  EXPECT_TRUE(model.warnings().empty());
  EXPECT_EQ(model.config_fields().integer("hidden_size", 1, 9), 2);
}

TEST(WriteModelDir, ReplacesOnlyOnRequestAndFailsWhole) {
  const TemporaryDirectory directory;
  const std::vector<TensorBytes> tensors = {tensor("a")};
  write_model_dir(directory / "m", {{"version", 1}}, tensors);
  EXPECT_THROW(write_model_dir(directory / "m", {{"version", 2}}, tensors), OptionError);
  write_model_dir(directory / "m", {{"version", 2}}, tensors, {.replace = true});
  EXPECT_EQ(ModelDir(directory / "m").config()["version"], 2);

  const std::vector<TensorBytes> twice = {tensor("a"), tensor("a")};
  EXPECT_EQ(error_message([&] {
              write_model_dir(directory / "m", {{"version", 3}}, twice, {.replace = true});
            }),
            "OptionError: tensor \"a\" is given twice");
  EXPECT_EQ(error_message([&] { write_model_dir(directory / "n", Json::array(), tensors); }),
            "OptionError: the config is an array of 0, but must be an object");
  EXPECT_EQ(error_message(
                [&] { write_model_dir(directory / "n", Json::object(), tensors, {.files = {directory / "gone"}}); }),
            "FileError: cannot open \"" + (directory / "gone").string() + "\": No such file or directory");
  EXPECT_EQ(ModelDir(directory / "m").config()["version"], 2);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), {}), 1);
}

TEST(WriteModelDir, TextsStandInForFilesOfTheirName) {
  const TemporaryDirectory directory;
  write_file(directory / "vocab.txt", "a");
  write_file(directory / "tokenizer_config.json", "{}");
  const std::vector<TensorBytes> tensors = {tensor("a")};
  write_model_dir(directory / "m", Json::object(), tensors,
                  {.files = tokenizer_files(directory.path()), .texts = {{"tokenizer_config.json", "[]"}, {"b", "c"}}});
  EXPECT_EQ(read_file(directory / "m/tokenizer_config.json", 100), "[]");
  EXPECT_EQ(read_file(directory / "m/vocab.txt", 100), "a");
  EXPECT_EQ(read_file(directory / "m/b", 100), "c");
  EXPECT_EQ(error_message([&] {
              write_model_dir(directory / "n", Json::object(), tensors, {.texts = {{"config.json", "{}"}}});
            }),
            "OptionError: two files would be named \"config.json\"");
  EXPECT_FALSE(fs::exists(directory / "n"));
}

TEST(WriteModelDir, TransformersReadsItsShards) {
  const TemporaryDirectory directory;
  const ModelDir source(GRAFT_DEPS "/model");
  std::vector<std::byte> bytes;
  write_model_dir(directory / "m", source.config(), source.tensors(),
                  [&](std::size_t i) -> std::span<const std::byte> {
                    bytes.resize(source.tensors()[i].bytes());
                    source.read(source.tensors()[i], bytes);
                    return bytes;
                  },
                  {.shard_bytes = 30'000'000, .files = tokenizer_files(source.path())});
  EXPECT_EQ(ModelDir(directory / "m").tensors().size(), source.tensors().size());
  run_python("model_dir.py", {source.path().string(), (directory / "m").string()});
}

}  // namespace
}  // namespace graft
