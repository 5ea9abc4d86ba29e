#pragma once

// The way that changes no weight: documents in a store, looked up for each question.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "facts.hpp"
#include "graft/retrieval/query.hpp"

/// A store of documents with the model that reads them.
class Library {
 public:
  Library(const std::filesystem::path& file, const std::string& encoder);
  ~Library();

  void add(std::span<const FactDocument> documents, bool later);

  /// The best passages for a question, by words and vectors.
  std::vector<graft::Hit> search(const std::string& question, std::size_t top);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};
