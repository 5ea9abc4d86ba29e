#pragma once

#include <sqlite3.h>

#include <bit>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "graft/core/hash.hpp"
#include "graft/retrieval/detail/document_checks.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/sqlite/reading.hpp"

namespace graft::detail {

static_assert(std::endian::native == std::endian::little, "vectors are stored as little-endian float32");

class SqliteWriter : public SqliteReading<Writer> {
 public:
  explicit SqliteWriter(std::shared_ptr<SqlitePool> pool) : SqliteReading(std::move(pool), "BEGIN IMMEDIATE") {}

  std::vector<PassageId> put(const Document& document, std::span<const PassageRange> ranges,
                             std::string_view cutting) override {
    const StoredMetadata stored = check_document(document, ranges, cutting, document_bytes());
    std::vector<PassageId> ids;
    change([&] {
      DocumentId id = 0;
      bool replaces = false;
      const auto text = std::as_bytes(std::span(document.text));
      if (const auto old = find_id(document.uri)) {
        id = *old;
        replaces = true;
        remove_passages(id);
        SqliteRows rows(
            db(), "UPDATE documents SET hash = ?1, modified = ?2, cutting = ?3, metadata = ?4, text = ?5 WHERE id = ?6",
            sha256(document.text), document.modified, cutting, stored.text, text, id);
        rows.run();
      } else {
        SqliteRows rows(
            db(), "INSERT INTO documents(uri, hash, modified, cutting, metadata, text) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            document.uri, sha256(document.text), document.modified, cutting, stored.text, text);
        rows.run();
        id = sqlite3_last_insert_rowid(db().get());
      }
      if (replaces || !document.source.empty()) put_source(id, document.uri, document.source);
      put_attributes(id, stored.attributes);
      for (const PassageRange& range : ranges) ids.push_back(put_passage(id, ids.size(), document.text, range));
    });
    return ids;
  }

  void set_metadata(std::string_view uri, const Json& metadata, std::int64_t modified,
                    std::string_view source) override {
    check_source(source);
    const auto id = find_id(uri);
    if (!id) no_document(db().name(), uri);
    const StoredMetadata stored = stored_metadata(uri, metadata, modified);
    change([&] {
      SqliteRows(db(), "UPDATE documents SET metadata = ?1, modified = ?2 WHERE id = ?3", stored.text, modified, *id)
          .run();
      if (!source.empty()) put_source(*id, uri, source);
      put_attributes(*id, stored.attributes);
    });
  }

  bool remove(std::string_view uri) override {
    const auto id = find_id(uri);
    if (!id) return false;
    change([&] {
      remove_passages(*id);
      SqliteRows(db(), "DELETE FROM attributes WHERE document = ?1", *id).run();
      SqliteRows(db(), "DELETE FROM sources WHERE document = ?1", *id).run();
      SqliteRows(db(), "DELETE FROM documents WHERE id = ?1", *id).run();
    });
    return true;
  }

  void add_space(const VectorSpace& space) override {
    check_space(space);
    check_text("the fingerprint of a model", space.model);
    if (space_id(space) != 0) return;
    change([&] {
      SqliteRows(db(), "INSERT INTO spaces(model, width, metric) VALUES(?1, ?2, ?3)", space.model, space.width,
                 metric_name(space.metric))
          .run();
    });
  }

  bool remove_space(const VectorSpace& space) override {
    const std::int64_t id = space_id(space);
    if (id == 0) return false;
    change([&] {
      SqliteRows(db(), "DELETE FROM vectors WHERE space = ?1", id).run();
      SqliteRows(db(), "DELETE FROM spaces WHERE id = ?1", id).run();
    });
    return true;
  }

  void put_vectors(const VectorSpace& space, std::span<const PassageId> ids, std::span<const float> vectors) override {
    check_space(space);
    check_vectors(space, ids.size(), vectors, "vector");
    const std::int64_t to = space_id(space);
    if (to == 0) no_space(db().name(), space);
    const auto width = static_cast<std::size_t>(space.width);
    change([&] {
      for (std::size_t i = 0; i < ids.size(); ++i) {
        check_needs_vector(to, ids[i]);
        SqliteRows(db(), "INSERT INTO vectors(space, passage, numbers) VALUES(?1, ?2, ?3)", to, ids[i],
                   std::as_bytes(vectors.subspan(i * width, width)))
            .run();
      }
    });
  }

  void set_note(std::string_view name, std::string_view text) override {
    check_note(name, text);
    change([&] { SqliteRows(db(), "INSERT OR REPLACE INTO notes(name, text) VALUES(?1, ?2)", name, text).run(); });
  }

  bool remove_note(std::string_view name) override {
    check_open();
    if (!note(name)) return false;
    change([&] { SqliteRows(db(), "DELETE FROM notes WHERE name = ?1", name).run(); });
    return true;
  }

  void commit() override {
    check_open();
    if (changed_) {
      SqliteRows(db(), "UPDATE store SET generation = generation + 1").run();
      SqliteRows(db(), "INSERT INTO history SELECT generation, lower(hex(randomblob(16))) FROM store").run();
      SqliteRows(db(), "DELETE FROM history WHERE generation < (SELECT generation FROM store) - 10000").run();
    }
    db().run("COMMIT");
  }

 private:
  void check_open() const {
    if (!db().in_transaction()) writer_ended(db().name());
  }

  /// Runs `work` all or not at all.
  template <class Work>
  void change(const Work& work) {
    check_open();
    db().run("SAVEPOINT change");
    try {
      work();
      db().run("RELEASE change");
    } catch (...) {
      // After a full disk or an I/O error SQLite may have rolled everything back itself.
      if (db().in_transaction())
        sqlite3_exec(db().get(), "ROLLBACK TO change; RELEASE change", nullptr, nullptr, nullptr);
      throw;
    }
    changed_ = true;
  }

  void check_needs_vector(std::int64_t space, PassageId id) {
    SqliteRows rows(
        db(), "SELECT (SELECT count(*) FROM vectors WHERE space = ?1 AND passage = ?2) FROM passages WHERE id = ?2",
        space, id);
    if (!rows.next()) no_passage(db().name(), id);
    if (rows.integer(0) != 0) vector_there(db().name(), id);
  }

  std::optional<DocumentId> find_id(std::string_view uri) {
    check_open();
    SqliteRows rows(db(), "SELECT id FROM documents WHERE uri = ?1", uri);
    if (!rows.next()) return std::nullopt;
    return rows.integer(0);
  }

  PassageId put_passage(DocumentId document, std::size_t place, std::string_view text, const PassageRange& range) {
    SqliteRows(db(), "INSERT INTO passages(document, place, first, last, heading) VALUES(?1, ?2, ?3, ?4, ?5)", document,
               place, range.begin, range.end, range.heading)
        .run();
    const PassageId id = sqlite3_last_insert_rowid(db().get());
    put_words(db(), id, range.heading, text.substr(range.begin, range.end - range.begin));
    return id;
  }

  void remove_passages(DocumentId document) {
    for (const Passage& passage : passages_of(document, 0, INT64_MAX)) {
      remove_words(db(), passage);
      SqliteRows(db(), "DELETE FROM vectors WHERE passage = ?1", passage.id).run();
    }
    SqliteRows(db(), "DELETE FROM passages WHERE document = ?1", document).run();
  }

  void put_source(DocumentId document, std::string_view uri, std::string_view source) {
    if (source.empty() || source == uri)
      SqliteRows(db(), "DELETE FROM sources WHERE document = ?1", document).run();
    else
      SqliteRows(db(), "INSERT OR REPLACE INTO sources(document, source) VALUES(?1, ?2)", document, source).run();
  }

  void put_attributes(DocumentId document, const std::vector<Attribute>& attributes) {
    SqliteRows(db(), "DELETE FROM attributes WHERE document = ?1", document).run();
    for (const Attribute& attribute : attributes) {
      SqliteRows rows(db(), "INSERT OR IGNORE INTO attributes(document, key, kind, value) VALUES(?1, ?2, ?3, ?4)",
                      document, attribute.key, value_kind(attribute.value));
      std::visit(
          [&](const auto& value) {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>)
              rows.bind(static_cast<std::int64_t>(value));
            else
              rows.bind(value);
          },
          attribute.value);
      rows.run();
    }
  }

  bool changed_ = false;
};

}  // namespace graft::detail
