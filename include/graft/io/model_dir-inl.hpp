#pragma once

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/checked.hpp"
#include "graft/core/output.hpp"
#include "graft/io/detail/tensor_checks.hpp"
#include "graft/io/model_dir.hpp"

namespace graft {

namespace detail {

inline constexpr std::string_view single_weights = "model.safetensors";
inline constexpr std::string_view weights_index = "model.safetensors.index.json";

/// One a line and indented, for the end of a message; the first 50 and the count of the others.
GRAFT_INLINE std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 50;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), shown); ++i) text += "\n  " + names[i];
  if (names.size() > shown) text += message("\n  and ", names.size() - shown, " more");
  return text;
}

/// FormatError if `name`, from an index, is not the plain name of a safetensors file.
GRAFT_INLINE void check_shard_name(const std::string& name, const std::string& tensor, const std::string& where) {
  const auto is_separator = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20; };
  const bool plain = std::none_of(name.begin(), name.end(), is_separator);
  if (plain && name.ends_with(".safetensors") && name.size() <= 255) return;
  throw FormatError(
      message(where, ": tensor ", quoted(tensor), " is said to be in ", quoted(name),
              "; a shard is a file beside the index, its name without a path and ending in .safetensors"));
}

/// The files that the index names, each with the tensors said to be in it.
GRAFT_INLINE std::map<std::string, std::vector<std::string>> tensors_by_shard(const JsonFields& weight_map) {
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, file] : weight_map.json().items()) {
    const std::string shard = weight_map.text(tensor);
    check_shard_name(shard, tensor, weight_map.where());
    shards[shard].push_back(tensor);
  }
  return shards;
}

/// Adds to `faults` what the index and the shard `name` say differently.
GRAFT_INLINE void compare_shard(const SafetensorsFile& shard, const std::string& name,
                                const std::vector<std::string>& tensors, const Json& weight_map,
                                std::vector<std::string>& faults) {
  for (const std::string& tensor : tensors) {
    if (!shard.find(tensor)) faults.push_back(message(quoted(tensor), " is not in ", name));
  }
  for (const TensorInfo& tensor : shard.tensors()) {
    const auto mapped = weight_map.find(tensor.name);
    if (mapped == weight_map.end()) {
      faults.push_back(message(quoted(tensor.name), " is in ", name, " and not in the index"));
    } else if (const auto& other = mapped->get_ref<const std::string&>(); other != name) {
      faults.push_back(message(quoted(tensor.name), " is in ", name, ", by the index in ", other));
    }
  }
}

/// Why a directory without safetensors cannot be read.
GRAFT_INLINE std::string no_weights(const std::filesystem::path& directory) {
  static constexpr std::array<std::string_view, 7> pickles = {".bin", ".pt", ".pth",    ".ckpt",
                                                              ".pkl", ".h5", ".msgpack"};
  std::vector<std::string> found;
  for (const std::filesystem::path& file : list_directory(directory)) {
    const std::string extension = file.extension().string();
    if (std::find(pickles.begin(), pickles.end(), extension) != pickles.end()) {
      found.push_back(quoted(file.filename().native()));
    }
  }
  const std::string start = message(directory.native(), ": holds no ", single_weights);
  if (found.empty()) return message(start, " and no ", weights_index, "; is it a model's directory?");
  return message(
      start, ", only files that could run code or that graft does not read; convert to safetensors:", listed(found));
}

}  // namespace detail

GRAFT_INLINE ModelDir::ModelDir(std::filesystem::path path, const SafetensorsLimits& limits) : path_(std::move(path)) {
  if (!path_exists(path_)) {
    throw FileError(message("the model's directory ", quoted(path_.native(), 4096),
                            " is not there; give its path, graft downloads no model"));
  }
  if (!directory_exists(path_)) {
    throw FileError(message(quoted(path_.native(), 4096), " is a file; name the directory that holds config.json"));
  }
  if (!path_exists(path_ / "config.json")) {
    throw FileError(message(path_.native(), ": holds no config.json; is it a model's directory?"));
  }
  config_ = std::make_shared<const Json>(read_json(path_ / "config.json"));
  config_fields();  // an object
  const bool single = path_exists(path_ / detail::single_weights);
  const bool sharded = path_exists(path_ / detail::weights_index);
  if (single && sharded) {
    throw FormatError(message(path_.native(), ": holds both ", detail::single_weights, " and ", detail::weights_index,
                              "; take away the one that is out of date"));
  }
  if (!single && !sharded) throw FileError(detail::no_weights(path_));
  if (single) {
    shards_.emplace_back(path_ / detail::single_weights, limits);
    collect_tensors();
  } else {
    open_shards(limits);
  }
}

GRAFT_INLINE void ModelDir::open_shards(const SafetensorsLimits& limits) {
  const std::string where = (path_ / detail::weights_index).native();
  const Json index = read_json(where);
  const JsonFields fields(index, where);
  const JsonFields map = fields.object("weight_map");
  std::vector<std::string> absent;
  std::vector<std::string> faults;
  for (const auto& [shard, tensors] : detail::tensors_by_shard(map)) {
    if (!path_exists(path_ / shard)) {
      absent.push_back(shard);
      continue;
    }
    detail::compare_shard(shards_.emplace_back(path_ / shard, limits), shard, tensors, map.json(), faults);
  }
  if (!absent.empty())
    throw FileError(message(where, ": names shards that are not there; copy them too:", detail::listed(absent)));
  if (!faults.empty())
    throw FormatError(message(where, ": disagrees with the shards; copy all of one version:", detail::listed(faults)));
  collect_tensors();
  check_total_size(fields);
}

GRAFT_INLINE void ModelDir::check_total_size(const JsonFields& index) {
  if (!index.has("metadata")) return;
  const JsonFields metadata = index.object("metadata");
  std::uint64_t sum = 0;
  for (const TensorInfo& tensor : tensors_) sum += tensor.bytes();
  if (metadata.has("total_size") && metadata.value("total_size") != Json(sum)) {
    warnings_.push_back(message(metadata.where(), ": \"total_size\" is ", described(metadata.value("total_size")),
                                ", but the tensors have ", sum, " bytes"));
  }
}

GRAFT_INLINE void ModelDir::collect_tensors() {
  std::vector<std::pair<const TensorInfo*, std::size_t>> all;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    for (const TensorInfo& tensor : shards_[i].tensors()) all.emplace_back(&tensor, i);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first->name < b.first->name; });
  for (const auto& [tensor, shard] : all) {
    tensors_.push_back(*tensor);
    shard_of_.push_back(shard);
  }
}

GRAFT_INLINE std::size_t ModelDir::position_of(std::string_view name) const {
  const auto place = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const TensorInfo& tensor, std::string_view n) { return tensor.name < n; });
  return place != tensors_.end() && place->name == name ? static_cast<std::size_t>(place - tensors_.begin())
                                                        : tensors_.size();
}

GRAFT_INLINE const TensorInfo* ModelDir::find(std::string_view name) const {
  const std::size_t position = position_of(name);
  return position < tensors_.size() ? &tensors_[position] : nullptr;
}

GRAFT_INLINE void ModelDir::read(const TensorInfo& tensor, std::span<std::byte> bytes) const {
  const std::size_t position = position_of(tensor.name);
  if (position == tensors_.size()) {
    throw OptionError(message(path_.native(), ": holds no tensor ", quoted(tensor.name)));
  }
  shards_[shard_of_[position]].read(tensors_[position], bytes);
}

namespace detail {

/// The sizes at which `tensors` are cut into shards, in the order given.
GRAFT_INLINE std::vector<std::vector<std::size_t>> cut_into_shards(std::span<const TensorInfo> tensors,
                                                                   std::uint64_t limit) {
  std::vector<std::vector<std::size_t>> shards(1);
  std::uint64_t filled = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t bytes = writable_bytes(tensors[i]);
    if (!shards.back().empty() && (filled > limit || bytes > limit - filled)) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(i);
    filled = checked_add(filled, bytes, "bytes of the model");
  }
  return shards;
}

GRAFT_INLINE std::string shard_name(std::size_t shard, std::size_t shards) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
  return name;
}

/// model.safetensors, or shards and their index, into `directory`.
GRAFT_INLINE void write_weights(const std::filesystem::path& directory, std::span<const TensorInfo> tensors,
                                const std::function<std::span<const std::byte>(std::size_t)>& bytes_of,
                                std::uint64_t shard_bytes) {
  check_names_differ(tensors);
  const auto shards = cut_into_shards(tensors, shard_bytes);
  Json map = Json::object();
  std::uint64_t total = 0;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const std::string name = shards.size() == 1 ? std::string(single_weights) : shard_name(s, shards.size());
    std::vector<TensorInfo> content;
    for (const std::size_t i : shards[s]) {
      content.push_back(tensors[i]);
      map[tensors[i].name] = name;
      total += writable_bytes(tensors[i]);
    }
    write_safetensors(directory / name, content, {{"format", "pt"}},
                      [&](std::size_t i) { return bytes_of(shards[s][i]); });
  }
  if (shards.size() == 1) return;
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}};
  write_file(directory / weights_index, index.dump(2) + "\n");
}

GRAFT_INLINE void copy_files(const std::vector<std::filesystem::path>& files, const std::filesystem::path& directory) {
  for (const std::filesystem::path& file : files) {
    const std::filesystem::path copy = directory / file.filename();
    if (path_exists(copy)) throw OptionError(message("two files would be named ", quoted(copy.filename().native())));
    const InputFile in(file);
    OutputFile out(copy);
    std::vector<std::byte> piece(1 << 20);
    for (std::uint64_t at = 0; at < in.size(); at += piece.size()) {
      piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), in.size() - at)));
      in.read_at(at, piece);
      out.write(piece);
    }
    out.commit();
  }
}

}  // namespace detail

GRAFT_INLINE void write_model_dir(const std::filesystem::path& destination, const Json& config,
                                  std::span<const TensorInfo> tensors,
                                  const std::function<std::span<const std::byte>(std::size_t)>& bytes_of,
                                  const ModelDirOptions& options) {
  if (!config.is_object()) throw OptionError(message("the config is ", described(config), ", but must be an object"));
  OutputDirectory directory(destination, options.replace);
  write_file(directory.path() / "config.json", json_text(config));
  detail::write_weights(directory.path(), tensors, bytes_of, options.shard_bytes);
  std::vector<std::filesystem::path> files = options.files;
  std::erase_if(files, [&](const auto& file) { return options.texts.contains(file.filename().string()); });
  detail::copy_files(files, directory.path());
  for (const auto& [name, text] : options.texts) {
    if (path_exists(directory.path() / name)) throw OptionError(message("two files would be named ", quoted(name)));
    write_file(directory.path() / name, text);
  }
  directory.commit();
}

GRAFT_INLINE void write_model_dir(const std::filesystem::path& destination, const Json& config,
                                  std::span<const TensorBytes> tensors, const ModelDirOptions& options) {
  std::vector<TensorInfo> infos;
  for (const TensorBytes& tensor : tensors) {
    infos.push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
    detail::check_size(infos.back(), tensor.bytes.size());
  }
  write_model_dir(
      destination, config, infos, [&](std::size_t i) { return tensors[i].bytes; }, options);
}

GRAFT_INLINE std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& directory) {
  static constexpr std::array<std::string_view, 9> names = {"tokenizer.json",
                                                            "tokenizer_config.json",
                                                            "special_tokens_map.json",
                                                            "added_tokens.json",
                                                            "vocab.txt",
                                                            "vocab.json",
                                                            "merges.txt",
                                                            "tokenizer.model",
                                                            "chat_template.jinja"};
  std::vector<std::filesystem::path> files;
  for (const std::string_view name : names) {
    if (path_exists(directory / name)) files.push_back(directory / name);
  }
  return files;
}

}  // namespace graft
