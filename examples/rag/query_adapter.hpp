#pragma once

// What --query-adapter names: a map of questions, or an adapter of the encoder for questions alone.

#include <optional>
#include <string>
#include <vector>

#include "graft/rag/embedder.hpp"
#include "graft/retrieval/query_map.hpp"

class QueryAdapter {
 public:
  /// `path` is a map's file or an adapter's directory, `model` the directory of the model whose vectors `embedder`
  /// makes. Throws OptionError for a map of vectors of another model.
  QueryAdapter(const std::string& path, const std::string& model, const graft::Embedder& embedder);

  /// By which stores know it.
  const std::string& fingerprint() const;

  /// The vector of a question, which is `vector` as the model makes it.
  std::vector<float> vector(const std::string& question, const std::vector<float>& vector) const;

 private:
  std::optional<graft::QueryMap> map_;
  std::optional<graft::Embedder> adapted_;
};
