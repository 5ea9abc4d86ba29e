#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graft/retrieval/detail/store_errors.hpp"
#include "graft/retrieval/sqlite/pool.hpp"
#include "graft/retrieval/store.hpp"

namespace graft::detail {

/// A connection within one transaction, and what both reading and writing ask of it. The transaction is undone at the
/// end unless it was committed.
class SqliteSession {
 public:
  SqliteSession(std::shared_ptr<SqlitePool> pool, const char* begin) : pool_(std::move(pool)), held_(pool_->take()) {
    db().run(begin);
  }
  ~SqliteSession() {
    if (db().in_transaction()) sqlite3_exec(db().get(), "ROLLBACK", nullptr, nullptr, nullptr);
    pool_->give(std::move(held_));
  }

  SqliteSession(const SqliteSession&) = delete;
  SqliteSession& operator=(const SqliteSession&) = delete;

  SqliteConnection& db() const { return *held_; }
  std::size_t document_bytes() const { return pool_->document_bytes(); }

  std::int64_t count(const char* sql) {
    SqliteRows rows(db(), sql);
    return rows.next() ? rows.integer(0) : 0;
  }

  /// 0 if the store does not have it. Throws OptionError if it has the model with another width or metric.
  std::int64_t space_id(const VectorSpace& space) {
    SqliteRows rows(db(), "SELECT id, width, metric FROM spaces WHERE model = ?1", space.model);
    if (!rows.next()) return 0;
    check_same_space(db().name(), stored_space(db().name(), space.model, rows.integer(1), rows.text(2)), space);
    return rows.integer(0);
  }

  StoredDocument document(DocumentId id) {
    SqliteRows rows(
        db(),
        "SELECT uri, hash, modified, cutting, metadata, length(text), "
        "(SELECT count(*) FROM passages WHERE document = documents.id), coalesce(source, uri) FROM documents "
        "LEFT JOIN sources ON sources.document = documents.id WHERE documents.id = ?1",
        id);
    if (!rows.next()) no_document(db().name(), id);
    StoredDocument out;
    out.id = id;
    out.uri = rows.text(0);
    out.hash = rows.text(1);
    out.modified = rows.integer(2);
    out.cutting = rows.text(3);
    out.metadata = parse_json(rows.text(4), message(db().name(), ", metadata of document ", id));
    out.bytes = static_cast<std::size_t>(rows.integer(5));
    out.passages = static_cast<std::size_t>(rows.integer(6));
    out.source = rows.text(7);
    return out;
  }

  Passage passage(const SqliteRows& rows) const {
    Passage out;
    out.id = rows.integer(0);
    out.document = rows.integer(1);
    out.order = rows.integer(2);
    out.range = stored_range(db().name(), out.id, rows.integer(3), rows.integer(4), rows.text(5));
    return out;
  }

  bool has_document(DocumentId id) {
    SqliteRows rows(db(), "SELECT 1 FROM documents WHERE id = ?1", id);
    return rows.next();
  }

  /// Reads only the bytes of the passages, however long their documents are.
  void read_texts(std::vector<Passage>& passages) {
    SqliteHandle<sqlite3_blob> blob;
    DocumentId open = 0;
    for (Passage& passage : passages) {
      if (open != passage.document) {
        if (!has_document(passage.document)) no_document_of(db().name(), passage);
        blob = db().open_text(passage.document);
        open = passage.document;
      }
      check_inside(db().name(), passage, sqlite3_blob_bytes(blob.get()));
      passage.text = db().read_text(blob.get(), passage.range.begin, passage.range.end);
    }
  }

 private:
  std::shared_ptr<SqlitePool> pool_;
  std::unique_ptr<SqliteConnection> held_;
};

}  // namespace graft::detail
