#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "graft/core/checked.hpp"
#include "graft/core/output.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/training/checkpoint.hpp"

namespace graft {

namespace detail {

constexpr const char* checkpoint_manifest = "checkpoint.json";

GRAFT_INLINE void check_file_name(const std::string& name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  if (name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), plain)) {
    throw FormatError("a checkpoint cannot hold a file named " + quoted(name) + "; use letters a to z and _");
  }
}

/// Renames what is damaged, or not graft's, so that it is in nobody's way and nothing is lost.
GRAFT_INLINE void set_aside(const std::filesystem::path& path) {
  for (int number = 1;; ++number) {
    std::filesystem::path place = path;
    place += message("-damaged-", number);
    if (path_exists(place)) continue;
    return rename_path(path, place, "set aside", path);
  }
}

GRAFT_INLINE NamedTensors read_tensors(const std::filesystem::path& path, const Json& hashes) {
  const SafetensorsFile file(path);
  if (file.tensors().size() != hashes.size()) {
    throw FormatError(message(quoted(path.string()), " holds ", file.tensors().size(), " tensors where ", hashes.size(),
                              " were written"));
  }
  NamedTensors tensors;
  for (const auto& info : file.tensors()) {
    const auto type = find_scalar_type(info.type);
    const auto hash = hashes.find(info.name);
    if (!type || hash == hashes.end() || !hash->is_string()) {
      throw FormatError(quoted(path.string()) + " holds " + quoted(info.name) + ", which was not written");
    }
    auto tensor = torch::empty(info.shape, *type);
    file.read(info, bytes_of(tensor));
    if (hex(fingerprint(tensor)) != hash->get<std::string>()) {
      throw FormatError(quoted(path.string()) + ": " + quoted(info.name) + " has changed since it was written");
    }
    tensors.emplace_back(info.name, tensor);
  }
  return tensors;
}

}  // namespace detail

GRAFT_INLINE void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  if (path_exists(path) && !is_own_output(path)) detail::set_aside(path);
  OutputDirectory out(path, true);
  Json files = Json::object();
  for (const auto& [name, tensors] : checkpoint.tensors) {
    detail::check_file_name(name);
    Json& hashes = files[name] = Json::object();
    for (const auto& [key, tensor] : tensors) hashes[key] = hex(fingerprint(tensor));
    save_tensors(out.path() / (name + ".safetensors"), tensors);
  }
  Json manifest = {{"format", 1}, {"state", checkpoint.state}, {"files", files}};
  manifest["hash"] = hex(fingerprint(manifest.dump()));
  write_file(out.path() / detail::checkpoint_manifest, manifest.dump(1) + "\n");
  out.commit();
}

GRAFT_INLINE Checkpoint load_checkpoint(const std::filesystem::path& path) {
  const auto manifest_path = path / detail::checkpoint_manifest;
  Json manifest = read_json(manifest_path);
  const JsonFields fields(manifest, manifest_path.string());
  fields.integer("format", 1, 1);
  const std::string hash = fields.text("hash");
  if (!fields.value("state").is_object()) fields.fail("state", "an object");
  if (!fields.value("files").is_object()) fields.fail("files", "an object");
  manifest.erase("hash");
  if (hex(fingerprint(manifest.dump())) != hash) {
    throw FormatError(quoted(manifest_path.string()) + " has changed since it was written");
  }
  Checkpoint checkpoint{.state = manifest["state"], .tensors = {}};
  for (const auto& [name, hashes] : manifest["files"].items()) {
    detail::check_file_name(name);
    checkpoint.tensors[name] = detail::read_tensors(path / (name + ".safetensors"), hashes);
  }
  return checkpoint;
}

GRAFT_INLINE void remove_checkpoint(const std::filesystem::path& path) { remove_output(path); }

GRAFT_INLINE std::filesystem::path checkpoint_path(const std::filesystem::path& directory, std::int64_t step) {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%06lld", static_cast<long long>(step));
  return directory / name;
}

GRAFT_INLINE std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& directory) {
  std::vector<std::int64_t> steps;
  if (!path_exists(directory)) return steps;
  for (const std::filesystem::path& path : list_directory(directory)) {
    const std::string name = path.filename().string();
    std::int64_t step = 0;
    if (!name.starts_with("step-")) continue;
    const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
    if (error == std::errc() && checkpoint_path(directory, step).filename().string() == name) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

GRAFT_INLINE std::optional<FoundCheckpoint> find_checkpoint(const std::filesystem::path& directory) {
  const auto steps = checkpoint_steps(directory);
  std::vector<std::string> passed_over;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const auto path = checkpoint_path(directory, *step);
    try {
      return FoundCheckpoint{path, load_checkpoint(path), std::move(passed_over)};
    } catch (const Error& error) {
      passed_over.push_back(error.what());
    }
  }
  if (passed_over.empty()) return std::nullopt;
  std::string text =
      message("none of the ", passed_over.size(), " checkpoints in ", quoted(directory.string()), " is sound");
  for (const auto& fault : passed_over) text += "; " + fault;
  throw FormatError(text);
}

}  // namespace graft
