#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/document.hpp"

namespace graft {

/// A linear map of a question's vector, y = W x, that puts it nearer to what answers it: the vectors of documents stay
/// as they are. train_query_map() makes one.
///
///     const QueryMap map = QueryMap::load("map.safetensors");
///     retriever.search({.vector = map.apply(embedder.query(question)), .encoder = map.fingerprint()});
///
/// Threads: every member may run on many at once.
class QueryMap {
 public:
  /// The identity on vectors of `space`. Throws OptionError for a space without model, or wider than `widest`.
  explicit QueryMap(VectorSpace space);

  /// W [width, width], row by row. `training` says in words how it was made, and is kept in its file. Throws ShapeError
  /// for another size, OptionError for a number that is not finite, or as the other constructor does.
  QueryMap(VectorSpace space, std::vector<float> weights, std::map<std::string, std::string> training = {});

  const VectorSpace& space() const { return space_; }
  const std::vector<float>& weights() const { return weights_; }
  const std::map<std::string, std::string>& training() const { return training_; }

  /// Names the map among all others, by its space and weights: what a store knows it by.
  const std::string& fingerprint() const { return fingerprint_; }

  /// The mapped vectors of `vectors` [N, width], laid end to end. Throws ShapeError if the size does not fit.
  std::vector<float> apply(std::span<const float> vectors) const;

  /// (1 - share) I + share W: the map mixed with leaving questions as they are. Throws OptionError unless 0 <= share
  /// <= 1.
  QueryMap blended(double share) const;

  /// Writes a safetensors file, whole or not at all: "weight" [width, width], and as metadata space, fingerprint and
  /// training. Throws FileError, OptionError where `training` is no UTF-8.
  void save(const std::filesystem::path& path) const;

  /// Throws FileError if the file cannot be read, FormatError if it is no such file or was changed since.
  static QueryMap load(const std::filesystem::path& path);

  static constexpr std::int64_t widest = 16'384;  ///< W takes 1 GiB then

 private:
  VectorSpace space_;
  std::vector<float> weights_;
  std::map<std::string, std::string> training_;
  std::string fingerprint_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/query_map-inl.hpp"
#endif
