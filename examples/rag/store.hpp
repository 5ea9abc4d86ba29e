#pragma once

// The store that a command works on.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "graft/core/error.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#ifdef RAG_WITH_POSTGRES
#include "graft/retrieval/postgres_store.hpp"
#endif

inline bool is_postgres(std::string_view name) {
  return name.starts_with("postgresql://") || name.starts_with("postgres://");
}

/// A file, or the address of a PostgreSQL database. Throws if `create` is false and the store is not there.
inline std::unique_ptr<graft::Store> open_store(const std::string& name, bool create) {
  if (is_postgres(name)) {
#ifdef RAG_WITH_POSTGRES
    return std::make_unique<graft::PostgresStore>(name, graft::PostgresStoreOptions{.create = create});
#else
    throw graft::OptionError(
        "this rag was built without PostgreSQL; install libpq (Debian: libpq-dev) and build again");
#endif
  }
  if (!create && !std::filesystem::exists(name))
    throw graft::OptionError(graft::message("there is no store ", graft::quoted(name), "; make it with: rag index"));
  return std::make_unique<graft::SqliteStore>(name, graft::SqliteStoreOptions{.create = create});
}

/// The graph of a large store, kept beside it; a server keeps its own.
inline std::filesystem::path index_file(const std::string& store) { return is_postgres(store) ? "" : store + "-index"; }
