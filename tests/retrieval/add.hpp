#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/retrieval/store.hpp"

namespace graft {

inline const VectorSpace kSpace{"model-a", 3, Metric::cosine};

inline std::vector<PassageRange> whole(const std::string& text) { return {{0, text.size()}}; }

/// Adds a document of one passage with a vector.
inline PassageId add(Writer& writer, const std::string& uri, const std::string& text,
                     const Json& metadata = Json::object(), std::vector<float> vector = {1, 0, 0}) {
  const auto ids = writer.put({.uri = uri, .text = text, .metadata = metadata}, whole(text));
  writer.add_space(kSpace);
  writer.put_vectors(kSpace, ids, vector);
  return ids[0];
}

}  // namespace graft
