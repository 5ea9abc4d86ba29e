#pragma once

// rag index: documents into a store.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

struct IndexOptions {
  std::vector<std::string> sources;
  std::string store, model;
  std::size_t size = 0;                // tokens of a passage; 0: all that the model reads
  std::optional<std::size_t> overlap;  // unless given, it follows the size
  bool prune = false;                  // take out what the sources do not hold any more
};

int run_index(const IndexOptions& options);
