#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graft/retrieval/detail/document_checks.hpp"
#include "graft/retrieval/detail/top_k.hpp"
#include "graft/retrieval/sqlite/filter.hpp"
#include "graft/retrieval/sqlite/session.hpp"
#include "graft/retrieval/sqlite/words.hpp"
#include "graft/retrieval/store.hpp"

namespace graft::detail {

/// Reading, for snapshots and writers alike.
template <class Interface>
class SqliteReading : public Interface, protected SqliteSession {
 public:
  SqliteReading(std::shared_ptr<SqlitePool> pool, const char* begin) : SqliteSession(std::move(pool), begin) {}

  std::uint64_t generation() override { return static_cast<std::uint64_t>(count("SELECT generation FROM store")); }

  std::string stamp() override {
    SqliteRows rows(db(), "SELECT stamp FROM history JOIN store ON store.generation = history.generation");
    if (!rows.next()) no_stamp(db().name());
    return rows.text(0);
  }

  bool follows(std::string_view stamp) override {
    SqliteRows rows(db(), "SELECT 1 FROM history WHERE stamp = ?1", stamp);
    return rows.next();
  }

  StoreSize size() override {
    return {static_cast<std::size_t>(count("SELECT count(*) FROM documents")),
            static_cast<std::size_t>(count("SELECT count(*) FROM passages"))};
  }

  std::vector<VectorSpace> spaces() override {
    std::vector<VectorSpace> out;
    SqliteRows rows(db(), "SELECT model, width, metric FROM spaces ORDER BY id");
    while (rows.next()) out.push_back(stored_space(db().name(), rows.text(0), rows.integer(1), rows.text(2)));
    return out;
  }

  std::optional<StoredDocument> find(std::string_view uri) override {
    SqliteRows rows(db(), "SELECT id FROM documents WHERE uri = ?1", uri);
    if (!rows.next()) return std::nullopt;
    return document(rows.integer(0));
  }

  std::vector<StoredDocument> documents(DocumentId after, std::size_t limit) override {
    std::vector<DocumentId> ids;
    SqliteRows rows(db(), "SELECT id FROM documents WHERE id > ?1 ORDER BY id LIMIT ?2", after,
                    std::min<std::size_t>(limit, INT64_MAX));
    while (rows.next()) ids.push_back(rows.integer(0));
    return documents(ids);
  }

  std::vector<StoredDocument> documents(std::span<const DocumentId> ids) override {
    std::vector<StoredDocument> out;
    for (const DocumentId id : ids) out.push_back(document(id));
    return out;
  }

  std::vector<DocumentOrigin> origins(std::string_view place) override {
    std::vector<DocumentOrigin> out;
    SqliteRows rows(db(),
                    "SELECT id, uri, source FROM sources JOIN documents ON id = document "
                    "WHERE source = ?1 OR (source >= ?1 || '/' AND source < ?1 || '0') "
                    "UNION ALL SELECT id, uri, uri FROM documents WHERE (uri = ?1 OR (uri >= ?1 || '/' AND uri < ?1 || "
                    "'0')) AND NOT EXISTS (SELECT 1 FROM sources WHERE document = id) ORDER BY 1",
                    without_slashes(place));
    while (rows.next()) out.push_back({rows.integer(0), rows.text(1), rows.text(2)});
    return out;
  }

  std::string text(DocumentId id, std::size_t begin, std::size_t end) override {
    check_part(begin, end);
    if (!has_document(id)) no_document(db().name(), id);
    const SqliteHandle<sqlite3_blob> blob = db().open_text(id);
    const auto size = static_cast<std::size_t>(sqlite3_blob_bytes(blob.get()));
    begin = std::min(begin, size);
    return db().read_text(blob.get(), begin, std::min(end, size));
  }

  std::vector<Passage> passages(std::span<const PassageId> ids) override {
    std::vector<Passage> out;
    out.reserve(ids.size());
    for (const PassageId id : ids) {
      SqliteRows rows(db(), "SELECT id, document, place, first, last, heading FROM passages WHERE id = ?1", id);
      if (!rows.next()) no_passage(db().name(), id);
      out.push_back(passage(rows));
    }
    read_texts(out);
    return out;
  }

  std::vector<DocumentId> documents_of(std::span<const PassageId> ids) override {
    std::vector<DocumentId> out;
    out.reserve(ids.size());
    for (const PassageId id : ids) {
      SqliteRows rows(db(), "SELECT document FROM passages WHERE id = ?1", id);
      if (!rows.next()) no_passage(db().name(), id);
      out.push_back(rows.integer(0));
    }
    return out;
  }

  std::vector<Passage> passages_of(DocumentId id, std::int64_t first, std::int64_t last) override {
    std::vector<Passage> out;
    SqliteRows rows(db(),
                    "SELECT id, document, place, first, last, heading FROM passages "
                    "WHERE document = ?1 AND place BETWEEN ?2 AND ?3 ORDER BY place",
                    id, first, last);
    while (rows.next()) out.push_back(passage(rows));
    read_texts(out);
    return out;
  }

  std::vector<PassageId> matching(const Filter& filter) override {
    const FilterSql sql = filter_sql(filter);
    SqliteRows rows(db(), "SELECT id FROM passages WHERE " + sql.condition + " ORDER BY id");
    sql.bind_to(rows);
    std::vector<PassageId> out;
    while (rows.next()) out.push_back(rows.integer(0));
    return out;
  }

  std::vector<Scored> search_words(std::string_view question, std::size_t k, const Filter* filter) override {
    check_question(question);
    const std::string query = word_query(question);
    std::vector<Scored> out;
    if (query.empty() || k == 0) return out;
    const FilterSql sql = filter ? filter_sql(*filter) : FilterSql{"1", {}};
    const std::string among = filter ? " AND rowid IN (SELECT id FROM passages WHERE " + sql.condition + ")" : "";
    SqliteRows rows(db(), "SELECT rowid, rank FROM words WHERE words MATCH ?" + among + " ORDER BY rank LIMIT ?");
    rows.bind(query);
    sql.bind_to(rows);
    rows.bind(std::min<std::size_t>(k, INT64_MAX));
    while (rows.next()) out.push_back({rows.integer(0), -rows.real(1)});
    std::stable_sort(out.begin(), out.end(), before);  // equal scores by id
    return out;
  }

  std::vector<PassageId> vector_ids(const VectorSpace& space) override {
    std::vector<PassageId> out;
    SqliteRows rows(db(), "SELECT passage FROM vectors WHERE space = ?1 ORDER BY passage", space_id(space));
    while (rows.next()) out.push_back(rows.integer(0));
    return out;
  }

  std::vector<PassageId> without_vectors(const VectorSpace& space, std::span<const PassageId> ids) override {
    const std::int64_t in_store = space_id(space);
    std::vector<PassageId> out;
    for (const PassageId id : ids) {
      SqliteRows rows(db(), "SELECT 1 FROM vectors WHERE space = ?1 AND passage = ?2", in_store, id);
      if (!rows.next()) out.push_back(id);
    }
    return out;
  }

  std::vector<float> vectors(const VectorSpace& space, std::span<const PassageId> ids) override {
    const std::int64_t in_store = space_id(space);
    const auto width = static_cast<std::size_t>(space.width);
    std::vector<float> out(ids.size() * width);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      SqliteRows rows(db(), "SELECT numbers FROM vectors WHERE space = ?1 AND passage = ?2", in_store, ids[i]);
      if (!rows.next()) no_vector(db().name(), ids[i], space);
      const auto bytes = rows.bytes(0);
      if (bytes.size() != width * sizeof(float))
        throw FormatError(message(db().name(), ": the vector of passage ", ids[i], " has ", bytes.size(),
                                  " bytes, but ", quoted(space.model), " needs ", width * sizeof(float)));
      std::memcpy(out.data() + i * width, bytes.data(), bytes.size());
      for (std::size_t c = 0; c < width; ++c)
        if (!std::isfinite(out[i * width + c]))
          throw FormatError(
              message(db().name(), ": number ", c, " of the vector of passage ", ids[i], " is not finite"));
    }
    return out;
  }

  std::optional<std::string> note(std::string_view name) override {
    SqliteRows rows(db(), "SELECT text FROM notes WHERE name = ?1", name);
    if (!rows.next()) return std::nullopt;
    return rows.text(0);
  }

  std::map<std::string, std::string> notes() override {
    std::map<std::string, std::string> out;
    SqliteRows rows(db(), "SELECT name, text FROM notes");
    while (rows.next()) out.emplace(rows.text(0), rows.text(1));
    return out;
  }
};

class SqliteSnapshot : public SqliteReading<Snapshot> {
 public:
  explicit SqliteSnapshot(std::shared_ptr<SqlitePool> pool) : SqliteReading(std::move(pool), "BEGIN") {
    generation();  // the first read is what fixes the snapshot
  }
};

}  // namespace graft::detail
