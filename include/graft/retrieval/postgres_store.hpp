#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "graft/core/mode.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

namespace detail {
class PostgresPool;
}

struct PostgresStoreOptions {
  std::string schema = "graft";            ///< holds the store's tables: stores of one database, one schema each
  bool create = true;                      ///< make schema and tables if they are not there; false: that is an error
  std::chrono::milliseconds wait{10'000};  ///< how long write() waits for another writer
  std::size_t document_bytes = 64 << 20;   ///< the longest text that put() takes, at most 900 MiB

  std::size_t index_above = 10'000;   ///< with more vectors than this commit() gives a space its graph
  std::size_t links = 16;             ///< m of the graph: neighbours of a vector; 2 to 100
  std::size_t ef_construction = 200;  ///< candidates looked at when a vector is added; 2 * links to 1000
  std::size_t ef_search = 100;        ///< candidates looked at by a search, before it goes on for more; 1 to 1000
};

/// A store in a PostgreSQL database (14 or newer) with the extension pgvector (0.8 or newer): the same calls and the
/// same answers as SqliteStore, for many machines. Needs libpq: link graft::postgres.
///
/// Vectors are searched by the server: one by one, or in an HNSW graph once there are many (at most 2000 numbers wide).
/// A filter is part of the query, and as many results come back as there are. Words are stemmed and found by
/// PostgreSQL's text search and ranked by BM25; scores differ a little from those of SqliteStore, which stems short
/// words and splits words that are not ASCII otherwise.
///
/// A snapshot or writer holds one connection and one transaction. If the connection is lost, its calls throw FileError
/// and the writer's changes are gone; the next read() or write() connects again. commit() finds out whether its changes
/// were kept, if the connection is lost under it.
class PostgresStore : public Store {
 public:
  /// Connects. `connection` is what libpq takes: "postgresql://user@host:5432/database?sslmode=verify-full" or
  /// "host=... dbname=..."; what it does not say, the password for one, comes from PGPASSWORD, ~/.pgpass, PGSERVICE and
  /// libpq's other settings. No message ever holds a password.
  /// Throws OptionError for a connection string or option that cannot be, FileError if the server cannot be reached or
  /// refuses, FormatError for a schema that is no store or comes from a newer version.
  explicit PostgresStore(const std::string& connection, PostgresStoreOptions options = {});
  GRAFT_INLINE ~PostgresStore() override;

  /// "postgresql://host:port/database, schema \"graft\"".
  GRAFT_INLINE std::string name() const override;

  GRAFT_INLINE void check_document(const Document& document) const override;
  GRAFT_INLINE std::unique_ptr<Snapshot> read() override;
  GRAFT_INLINE std::unique_ptr<Writer> write() override;

  /// That offsets lie within texts, vectors belong to passages, passages to documents, and the tables are a store's.
  /// The pages themselves are the server's affair: pg_amcheck reads them.
  GRAFT_INLINE void check() override;

 private:
  friend class PostgresIndex;

  std::shared_ptr<detail::PostgresPool> pool_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/postgres_store-inl.hpp"
#endif
