#pragma once

// Documents of a store whose files are not there any more.

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "graft/retrieval/ingest.hpp"
#include "graft/retrieval/store.hpp"

/// Whether a file of the store's is there, as far as can be told: one that may not be looked at is.
bool is_there(const std::string& source);

/// The documents that were read from `places` (files, or directories) and that their sources do not hold any more: a
/// run over these places gave others (`given`), and a source of theirs is no longer there or was read to its end
/// (`read_whole`).
std::vector<graft::DocumentOrigin> gone_documents(graft::Store& store, const std::vector<std::filesystem::path>& places,
                                                  const graft::GivenDocuments& given,
                                                  const std::set<std::string>& read_whole);

/// Takes them out, all at once.
void remove_documents(graft::Store& store, const std::vector<graft::DocumentOrigin>& documents);

struct RemoveOptions {
  std::vector<std::string> names;
  std::string store;
};

/// rag remove: documents by their names, or by the file or directory that they were read from.
int run_remove(const RemoveOptions& options);
