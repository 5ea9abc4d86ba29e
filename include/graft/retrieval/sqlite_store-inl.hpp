#pragma once

#include <memory>
#include <utility>

#include "graft/retrieval/detail/document_checks.hpp"
#include "graft/retrieval/sqlite/check.hpp"
#include "graft/retrieval/sqlite/schema.hpp"
#include "graft/retrieval/sqlite/writer.hpp"
#include "graft/retrieval/sqlite_store.hpp"

namespace graft {

GRAFT_INLINE SqliteStore::SqliteStore(std::filesystem::path path, SqliteStoreOptions options) : path_(std::move(path)) {
  if (options.document_bytes < 1 || options.document_bytes > 900u << 20)
    throw OptionError(message("document_bytes is ", options.document_bytes, "; choose 1 to ", 900u << 20));
  if (options.wait.count() < 0 || options.wait.count() > 86'400'000)
    throw OptionError(message("wait is ", options.wait.count(), " ms; choose 0 to 86400000"));
  auto first = std::make_unique<detail::SqliteConnection>(path_, options.create, options.wait);
  detail::open_store(*first);
  pool_ = std::make_shared<detail::SqlitePool>(path_, options.wait, options.document_bytes);
  pool_->give(std::move(first));
}

GRAFT_INLINE SqliteStore::~SqliteStore() = default;

GRAFT_INLINE void SqliteStore::check_document(const Document& document) const {
  detail::check_document(document, pool_->document_bytes());
}

GRAFT_INLINE std::unique_ptr<Snapshot> SqliteStore::read() { return std::make_unique<detail::SqliteSnapshot>(pool_); }

GRAFT_INLINE std::unique_ptr<Writer> SqliteStore::write() { return std::make_unique<detail::SqliteWriter>(pool_); }

GRAFT_INLINE void SqliteStore::check() {
  std::unique_ptr<detail::SqliteConnection> connection = pool_->take();
  detail::check_store(*connection);
  pool_->give(std::move(connection));
}

}  // namespace graft
