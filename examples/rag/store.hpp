#pragma once

// The store that a command works on.

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "graft/retrieval/store.hpp"

bool is_postgres(std::string_view name);

/// A file, or the address of a PostgreSQL database. Throws if `create` is false and the store is not there.
std::unique_ptr<graft::Store> open_store(const std::string& name, bool create);

/// The graph of a large store, kept beside it; a server keeps its own.
std::filesystem::path index_file(const std::string& store);
