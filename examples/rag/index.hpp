#pragma once

// rag index: documents into a store.

#include <cstddef>
#include <string>
#include <vector>

struct IndexOptions {
  std::vector<std::string> sources;
  std::string store, model;
  std::size_t size = 0;  // tokens of a passage; 0: all that the model reads
  std::size_t overlap = 20;
};

int run_index(const IndexOptions& options);
