#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/safetensors.hpp"

namespace graft {

/// A pretrained model's directory as Hugging Face lays it out, open for reading: config.json with model.safetensors, or
/// with model.safetensors.index.json and the shards it names. Weights are read when asked for.
///
/// The index is not trusted: a shard is a file name without a path, is there, and holds exactly the tensors the index
/// maps to it. Links inside the directory are followed, since the Hugging Face cache is made of them.
/// Pickle files (pytorch_model.bin, ...) are never read.
/// Threads: read() may run on many at once.
class ModelDir {
 public:
  /// Opens and checks config.json and the header of every shard. FileError if the directory, config.json or a shard is
  /// not there; FormatError if a file breaks its format or index and shards disagree, naming all that do.
  explicit ModelDir(std::filesystem::path path, const SafetensorsLimits& limits = {});

  const std::filesystem::path& path() const { return path_; }

  /// config.json: an object.
  const Json& config() const { return *config_; }

  /// config() with getters whose errors name the file.
  JsonFields config_fields() const { return JsonFields(*config_, (path_ / "config.json").native()); }

  /// Of all shards together, sorted by name. begin and end are positions in the tensor's own shard.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// nullptr if no shard has a tensor of that name.
  const TensorInfo* find(std::string_view name) const;

  /// Fills `bytes` with one of tensors(); see SafetensorsFile::read().
  void read(const TensorInfo& tensor, std::span<std::byte> bytes) const;

  /// What is odd but harmless, such as an index whose total_size is not the sum of the tensors.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void open_shards(const SafetensorsLimits& limits);
  void collect_tensors();
  void check_total_size(const JsonFields& index);
  std::size_t position_of(std::string_view name) const;

  std::filesystem::path path_;
  std::shared_ptr<const Json> config_;
  std::vector<SafetensorsFile> shards_;
  std::vector<TensorInfo> tensors_;    // sorted by name
  std::vector<std::size_t> shard_of_;  // for each of tensors_
  std::vector<std::string> warnings_;
};

/// How a model's directory is written.
struct ModelDirOptions {
  std::uint64_t shard_bytes = 5'000'000'000;  ///< weights above this are cut into files of at most this (or one tensor)
  std::vector<std::filesystem::path> files = {};  ///< copied into the directory under their own names
  std::map<std::string, std::string> texts = {};  ///< by name: content of more files, in place of any of that name
  bool replace = false;                           ///< whether one that graft wrote there may be replaced
};

/// Writes a directory that ModelDir and transformers read: config.json, the weights, copies of `options.files`.
/// It appears whole or not at all; what may be there already OutputDirectory says. Throws OptionError as
/// write_safetensors() and OutputDirectory do, or if `config` is not an object, if two files would have one name;
/// FileError where the system refuses.
void write_model_dir(const std::filesystem::path& destination, const Json& config, std::span<const TensorBytes> tensors,
                     const ModelDirOptions& options = {});

/// The same for tensors that are not all in memory: `bytes_of(i)` as in write_safetensors().
void write_model_dir(const std::filesystem::path& destination, const Json& config, std::span<const TensorInfo> tensors,
                     const std::function<std::span<const std::byte>(std::size_t)>& bytes_of,
                     const ModelDirOptions& options = {});

namespace detail {

/// Copies files into a directory under their own names. Throws OptionError if one of that name is there.
void copy_files(const std::vector<std::filesystem::path>& files, const std::filesystem::path& directory);

}  // namespace detail

/// The tokenizer's files in a model's directory, for ModelDirOptions::files: those that are there of tokenizer.json,
/// tokenizer_config.json, vocab.txt and their like.
std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& directory);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/model_dir-inl.hpp"
#endif
