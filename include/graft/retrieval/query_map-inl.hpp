#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "graft/core/hash.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/query_map.hpp"

namespace graft {

namespace detail {

inline constexpr const char* kQueryMapFormat = "graft.query_map.1";
inline constexpr std::string_view kTrainingPrefix = "training.";

GRAFT_INLINE std::string fingerprint_of(const VectorSpace& space, std::span<const float> weights) {
  Checksum sum;
  sum.add(message(space.model.size(), ":", space.model, " ", space.width, " ", metric_name(space.metric), " "));
  sum.add(std::as_bytes(weights));
  return "map-" + hex(sum.value());
}

GRAFT_INLINE std::vector<float> identity(std::int64_t width) {
  const auto size = static_cast<std::size_t>(width);
  std::vector<float> out(size * size, 0.0f);
  for (std::size_t i = 0; i < size; ++i) out[i * size + i] = 1;
  return out;
}

/// Throws OptionError for a space whose questions no map takes; else its width.
GRAFT_INLINE std::int64_t mapped_width(const VectorSpace& space) {
  check_space(space);
  if (space.width > QueryMap::widest)
    throw OptionError(message("vectors of model ", quoted(space.model), " are ", space.width,
                              " numbers wide; a map of questions takes up to ", QueryMap::widest));
  return space.width;
}

}  // namespace detail

GRAFT_INLINE QueryMap::QueryMap(VectorSpace space) : QueryMap(space, detail::identity(detail::mapped_width(space))) {}

GRAFT_INLINE QueryMap::QueryMap(VectorSpace space, std::vector<float> weights,
                                std::map<std::string, std::string> training)
    : space_(std::move(space)), weights_(std::move(weights)), training_(std::move(training)) {
  const auto width = static_cast<std::size_t>(detail::mapped_width(space_));
  if (weights_.size() != width * width)
    throw ShapeError(message("a map of vectors of ", width, " numbers has ", width * width, " weights, but ",
                             weights_.size(), " were given"));
  for (std::size_t i = 0; i < weights_.size(); ++i)
    if (!std::isfinite(weights_[i]))
      throw OptionError(message("weight [", i / width, ", ", i % width, "] of a map of questions is ", weights_[i],
                                "; every weight must be finite"));
  fingerprint_ = detail::fingerprint_of(space_, weights_);
}

GRAFT_INLINE std::vector<float> QueryMap::apply(std::span<const float> vectors) const {
  const auto width = static_cast<std::size_t>(space_.width);
  if (vectors.size() % width != 0)
    throw ShapeError(message("a map of vectors of ", width, " numbers was given ", vectors.size(), " numbers"));
  std::vector<float> out(vectors.size());
  for (std::size_t n = 0; n < vectors.size(); n += width)
    for (std::size_t o = 0; o < width; ++o) {
      double sum = 0;
      for (std::size_t i = 0; i < width; ++i) sum += static_cast<double>(weights_[o * width + i]) * vectors[n + i];
      out[n + o] = static_cast<float>(sum);
    }
  return out;
}

GRAFT_INLINE QueryMap QueryMap::blended(double share) const {
  if (!(share >= 0 && share <= 1)) throw OptionError(message("blend is ", share, "; choose a number from 0 to 1"));
  const auto width = static_cast<std::size_t>(space_.width);
  std::vector<float> weights(weights_.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double base = i / width == i % width ? 1 : 0;
    weights[i] = static_cast<float>(base + share * (weights_[i] - base));
  }
  return {space_, std::move(weights), training_};
}

GRAFT_INLINE void QueryMap::save(const std::filesystem::path& path) const {
  std::map<std::string, std::string> metadata = {{"format", detail::kQueryMapFormat},
                                                 {"model", space_.model},
                                                 {"metric", metric_name(space_.metric)},
                                                 {"fingerprint", fingerprint_}};
  for (const auto& [name, value] : training_) metadata.emplace(std::string(detail::kTrainingPrefix) + name, value);
  const TensorBytes weight{.name = "weight",
                           .type = ElementType::F32,
                           .shape = {space_.width, space_.width},
                           .bytes = std::as_bytes(std::span(weights_))};
  write_safetensors(path, std::span(&weight, 1), metadata);
}

GRAFT_INLINE QueryMap QueryMap::load(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const auto refuse = [&](const std::string& what) {
    throw FormatError(message(path.native(), ": ", what, "; give the file that the training of a map has written"));
  };
  const auto entry = [&](const char* name) {
    const auto found = file.metadata().find(name);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  if (entry("format") != detail::kQueryMapFormat)
    refuse(message("is no map of questions: its format is ", quoted(entry("format")), ", not ",
                   quoted(detail::kQueryMapFormat)));
  const TensorInfo* const weight = file.find("weight");
  if (!weight || file.tensors().size() != 1 || weight->type != ElementType::F32 || weight->shape.size() != 2 ||
      weight->shape[0] != weight->shape[1] || weight->shape[0] < 1 || weight->shape[0] > widest)
    refuse(message("does not hold one float32 tensor \"weight\" as wide as high, of 1 to ", widest));
  const auto metric = metric_by_name(entry("metric"));
  if (entry("model").empty() || !metric)
    refuse(message("does not say whose vectors it maps: model ", quoted(entry("model")), ", metric ",
                   quoted(entry("metric"))));
  std::map<std::string, std::string> training;
  for (const auto& [name, value] : file.metadata())
    if (name.starts_with(detail::kTrainingPrefix)) training.emplace(name.substr(detail::kTrainingPrefix.size()), value);
  std::vector<float> weights(static_cast<std::size_t>(weight->shape[0] * weight->shape[0]));
  file.read(*weight, std::as_writable_bytes(std::span(weights)));
  const VectorSpace space{entry("model"), weight->shape[0], *metric};
  if (const auto bad = std::find_if(weights.begin(), weights.end(), [](float x) { return !std::isfinite(x); });
      bad != weights.end())
    refuse(message("weight ", bad - weights.begin(), " is ", *bad));
  if (const std::string found = detail::fingerprint_of(space, weights); found != entry("fingerprint"))
    refuse(message("was changed since it was written: its fingerprint is ", found, ", but it says ",
                   quoted(entry("fingerprint"))));
  return {space, std::move(weights), std::move(training)};
}

}  // namespace graft
