#pragma once

#include <memory>
#include <utility>

#include "graft/retrieval/postgres/check.hpp"
#include "graft/retrieval/postgres/writer.hpp"
#include "graft/retrieval/postgres_store.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE void check_postgres_options(const PostgresStoreOptions& options) {
  if (options.schema.empty() || options.schema.size() > 63 || !is_postgres_text(options.schema) ||
      options.schema.starts_with("pg_"))
    throw OptionError(message("schema is ", quoted(options.schema), "; choose a name of 1 to 63 bytes, not pg_..."));
  if (options.document_bytes < 1 || options.document_bytes > 900u << 20)
    throw OptionError(message("document_bytes is ", options.document_bytes, "; choose 1 to ", 900u << 20));
  if (options.wait.count() < 0 || options.wait.count() > 86'400'000)
    throw OptionError(message("wait is ", options.wait.count(), " ms; choose 0 to 86400000"));
  if (options.links < 2 || options.links > 100)
    throw OptionError(message("links is ", options.links, "; choose 2 to 100"));
  if (options.ef_construction < 2 * options.links || options.ef_construction > 1000)
    throw OptionError(
        message("ef_construction is ", options.ef_construction, "; choose ", 2 * options.links, " to 1000"));
  if (options.ef_search < 1 || options.ef_search > 1000)
    throw OptionError(message("ef_search is ", options.ef_search, "; choose 1 to 1000"));
}

}  // namespace detail

GRAFT_INLINE PostgresStore::PostgresStore(const std::string& connection, PostgresStoreOptions options) {
  detail::check_postgres_options(options);
  pool_ = std::make_shared<detail::PostgresPool>(
      detail::PostgresAddress(connection),
      detail::PostgresSettings{options.schema, static_cast<std::size_t>(options.wait.count()), options.document_bytes,
                               options.index_above, options.links, options.ef_construction, options.ef_search});
  pool_->open(options.create);
}

GRAFT_INLINE PostgresStore::~PostgresStore() = default;

GRAFT_INLINE std::string PostgresStore::name() const { return pool_->name(); }

GRAFT_INLINE void PostgresStore::check_document(const Document& document) const {
  detail::check_document(document, pool_->settings().document_bytes);
}

GRAFT_INLINE std::unique_ptr<Snapshot> PostgresStore::read() {
  return std::make_unique<detail::PostgresSnapshot>(pool_);
}

GRAFT_INLINE std::unique_ptr<Writer> PostgresStore::write() { return std::make_unique<detail::PostgresWriter>(pool_); }

GRAFT_INLINE void PostgresStore::check() {
  std::unique_ptr<detail::PostgresConnection> connection =
      pool_->begin("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
  detail::check_schema(*connection, pool_->settings().schema);
  detail::check_store(*connection);
  connection->run("COMMIT");
  pool_->give(std::move(connection));
}

}  // namespace graft
