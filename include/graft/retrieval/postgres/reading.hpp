#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graft/retrieval/detail/document_checks.hpp"
#include "graft/retrieval/detail/top_k.hpp"
#include "graft/retrieval/postgres/filter.hpp"
#include "graft/retrieval/postgres/session.hpp"
#include "graft/retrieval/postgres/vectors.hpp"
#include "graft/retrieval/postgres/words.hpp"

namespace graft::detail {

/// Reading, for snapshots and writers alike. Whatever is asked of many ids is one statement.
template <class Interface>
class PostgresReading : public Interface, protected PostgresSession {
 public:
  using PostgresSession::PostgresSession;

  std::uint64_t generation() override { return static_cast<std::uint64_t>(count("SELECT generation FROM store")); }

  std::string stamp() override {
    const PostgresRows rows = db().rows("SELECT stamp FROM history JOIN store USING (generation)");
    if (rows.empty()) no_stamp(db().name());
    return rows.text(0, 0);
  }

  bool follows(std::string_view stamp) override {
    return is_postgres_text(stamp) && !db().rows("SELECT 1 FROM history WHERE stamp = $1", stamp).empty();
  }

  StoreSize size() override {
    return {static_cast<std::size_t>(count("SELECT count(*) FROM documents")),
            static_cast<std::size_t>(count("SELECT count(*) FROM passages"))};
  }

  std::vector<VectorSpace> spaces() override {
    std::vector<VectorSpace> out;
    const PostgresRows rows = db().rows("SELECT model, width, metric FROM spaces ORDER BY id");
    for (std::size_t row = 0; row < rows.size(); ++row)
      out.push_back(stored_space(db().name(), rows.text(row, 0), rows.integer(row, 1), rows.text(row, 2)));
    return out;
  }

  std::optional<StoredDocument> find(std::string_view uri) override {
    if (!is_postgres_text(uri)) return std::nullopt;
    const PostgresRows rows = db().rows(
        "SELECT id, uri, hash, modified, cutting, metadata::text, octet_length(text)::bigint, "
        "(SELECT count(*) FROM passages WHERE document = d.id), source FROM documents d WHERE uri = $1",
        uri);
    if (rows.empty()) return std::nullopt;
    return document(rows, 0);
  }

  std::vector<StoredDocument> documents(DocumentId after, std::size_t limit) override {
    std::vector<DocumentId> ids;
    const PostgresRows rows = db().rows("SELECT id FROM documents WHERE id > $1 ORDER BY id LIMIT $2", after,
                                        std::min<std::size_t>(limit, INT64_MAX));
    for (std::size_t row = 0; row < rows.size(); ++row) ids.push_back(rows.integer(row, 0));
    return documents(ids);
  }

  std::vector<StoredDocument> documents(std::span<const DocumentId> ids) override {
    const PostgresRows rows = db().rows(
        "SELECT d.id, uri, hash, modified, cutting, metadata::text, octet_length(text)::bigint, "
        "(SELECT count(*) FROM passages WHERE document = d.id), source "
        "FROM unnest($1) WITH ORDINALITY AS asked(id, n) LEFT JOIN documents d ON d.id = asked.id ORDER BY n",
        ids);
    std::vector<StoredDocument> out;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (rows.is_null(row, 0)) no_document(db().name(), ids[row]);
      out.push_back(document(rows, row));
    }
    return out;
  }

  std::vector<DocumentOrigin> origins(std::string_view place) override {
    std::vector<DocumentOrigin> out;
    if (!is_postgres_text(place)) return out;
    const PostgresRows rows = db().rows(
        "SELECT id, uri, source FROM documents "
        "WHERE source = $1 OR (source >= $1 || '/' AND source < $1 || '0') ORDER BY id",
        without_slashes(place));
    for (std::size_t row = 0; row < rows.size(); ++row)
      out.push_back({rows.integer(row, 0), rows.text(row, 1), rows.text(row, 2)});
    return out;
  }

  std::string text(DocumentId id, std::size_t begin, std::size_t end) override {
    check_part(begin, end);
    constexpr std::size_t kLongest = 1 << 30;  // of any value
    begin = std::min(begin, kLongest);
    const PostgresRows rows = db().rows("SELECT substring(text, $2::int + 1, $3::int) FROM documents WHERE id = $1", id,
                                        begin, std::min(end, kLongest) - begin);
    if (rows.empty()) no_document(db().name(), id);
    return rows.text(0, 0);
  }

  std::vector<Passage> passages(std::span<const PassageId> ids) override {
    const PostgresRows rows = db().rows(
        "SELECT p.id, p.document, place, first, last, heading, octet_length(text)::bigint, "
        "substring(text, first::int + 1, (last - first)::int) "
        "FROM unnest($1) WITH ORDINALITY AS asked(id, n) LEFT JOIN passages p ON p.id = asked.id "
        "LEFT JOIN documents d ON d.id = p.document ORDER BY n",
        ids);
    std::vector<Passage> out;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (rows.is_null(row, 0)) no_passage(db().name(), ids[row]);
      out.push_back(passage(rows, row));
    }
    return out;
  }

  std::vector<DocumentId> documents_of(std::span<const PassageId> ids) override {
    const PostgresRows rows = db().rows(
        "SELECT document FROM unnest($1) WITH ORDINALITY AS asked(id, n) LEFT JOIN passages p ON p.id = asked.id "
        "ORDER BY n",
        ids);
    std::vector<DocumentId> out;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (rows.is_null(row, 0)) no_passage(db().name(), ids[row]);
      out.push_back(rows.integer(row, 0));
    }
    return out;
  }

  std::vector<Passage> passages_of(DocumentId id, std::int64_t first, std::int64_t last) override {
    const PostgresRows rows = db().rows(
        "SELECT p.id, p.document, place, first, last, heading, octet_length(text)::bigint, "
        "substring(text, first::int + 1, (last - first)::int) FROM passages p LEFT JOIN documents d ON d.id = "
        "p.document WHERE p.document = $1 AND place BETWEEN $2 AND $3 ORDER BY place",
        id, first, last);
    std::vector<Passage> out;
    for (std::size_t row = 0; row < rows.size(); ++row) out.push_back(passage(rows, row));
    return out;
  }

  std::vector<PassageId> matching(const Filter& filter) override {
    PostgresParameters parameters;
    const std::string condition = PostgresFilter(parameters).condition(filter);
    const PostgresRows rows = db().once("SELECT id FROM passages WHERE " + condition + " ORDER BY id", parameters);
    std::vector<PassageId> out;
    for (std::size_t row = 0; row < rows.size(); ++row) out.push_back(rows.integer(row, 0));
    return out;
  }

  std::vector<Scored> search_words(std::string_view question, std::size_t k, const Filter* filter) override {
    check_question(question);
    const std::string words = word_line(question);
    std::vector<Scored> out;
    if (words.empty() || k == 0) return out;
    const auto [passages, all_words] = totals();
    PostgresParameters parameters(words, std::min<std::size_t>(k, INT64_MAX), passages, all_words);
    const std::string condition = filter ? PostgresFilter(parameters).condition(*filter) : "true";
    const PostgresRows rows = db().once(word_search(condition), parameters);
    for (std::size_t row = 0; row < rows.size(); ++row) out.push_back({rows.integer(row, 0), rows.real(row, 1)});
    return out;
  }

  std::vector<PassageId> vector_ids(const VectorSpace& space) override {
    std::vector<PassageId> out;
    const std::int64_t in_store = space_id(space);
    if (in_store == 0) return out;
    const PostgresRows rows = db().once(message("SELECT passage FROM ", vectors_table(in_store), " ORDER BY passage"));
    for (std::size_t row = 0; row < rows.size(); ++row) out.push_back(rows.integer(row, 0));
    return out;
  }

  std::vector<PassageId> without_vectors(const VectorSpace& space, std::span<const PassageId> ids) override {
    const std::int64_t in_store = space_id(space);
    if (in_store == 0) return {ids.begin(), ids.end()};
    const PostgresRows rows = db().once(message("SELECT asked.id FROM unnest($1) WITH ORDINALITY AS asked(id, n) WHERE "
                                                "NOT EXISTS (SELECT 1 FROM ",
                                                vectors_table(in_store), " WHERE passage = asked.id) ORDER BY n"),
                                        PostgresParameters(ids));
    std::vector<PassageId> out;
    for (std::size_t row = 0; row < rows.size(); ++row) out.push_back(rows.integer(row, 0));
    return out;
  }

  std::vector<float> vectors(const VectorSpace& space, std::span<const PassageId> ids) override {
    const std::int64_t in_store = space_id(space);
    const auto width = static_cast<std::size_t>(space.width);
    std::vector<float> out(ids.size() * width);
    if (in_store == 0 && !ids.empty()) no_vector(db().name(), ids[0], space);
    constexpr std::size_t kTogether = 10'000;
    for (std::size_t i = 0; i < ids.size(); i += kTogether) {
      const auto part = ids.subspan(i, std::min(kTogether, ids.size() - i));
      const PostgresRows rows = db().once(message("SELECT numbers FROM unnest($1) WITH ORDINALITY AS asked(id, n) LEFT "
                                                  "JOIN ",
                                                  vectors_table(in_store), " ON passage = asked.id ORDER BY n"),
                                          PostgresParameters(part));
      for (std::size_t row = 0; row < rows.size(); ++row) {
        if (rows.is_null(row, 0)) no_vector(db().name(), part[row], space);
        read_vector(rows.bytes(row, 0), part[row], space, out.data() + (i + row) * width);
      }
    }
    return out;
  }

  std::optional<std::string> note(std::string_view name) override {
    if (!is_postgres_text(name)) return std::nullopt;
    const PostgresRows rows = db().rows("SELECT text FROM notes WHERE name = $1", name);
    if (rows.empty()) return std::nullopt;
    return rows.text(0, 0);
  }

  std::map<std::string, std::string> notes() override {
    std::map<std::string, std::string> out;
    const PostgresRows rows = db().rows("SELECT name, text FROM notes");
    for (std::size_t row = 0; row < rows.size(); ++row) out.emplace(rows.text(row, 0), rows.text(row, 1));
    return out;
  }

  bool searches_vectors() const override { return true; }

  std::vector<Scored> search_vectors(const VectorSpace& space, std::span<const float> query, std::size_t k,
                                     const Filter* filter) override {
    check_space(space);
    check_vectors(space, 1, query, "query");
    return search_many(space, query, k, filter, nullptr)[0];
  }

  /// A ranking for each row of `queries` [Q, width], of documents that `filter` selects and passages among `allowed`.
  std::vector<std::vector<Scored>> search_many(const VectorSpace& space, std::span<const float> queries, std::size_t k,
                                               const Filter* filter, const std::vector<PassageId>* allowed) {
    const auto width = static_cast<std::size_t>(space.width);
    check_vectors(space, queries.size() / width, queries, "query");
    std::vector<std::vector<Scored>> out(queries.size() / width);
    const std::int64_t in_store = space_id(space);
    if (in_store == 0 || k == 0) return out;
    for (std::size_t q = 0; q < out.size(); ++q) {
      PostgresParameters parameters;
      parameters.add_vector(queries.subspan(q * width, width));
      std::string condition = "true";
      if (filter)
        condition = "passage IN (SELECT id FROM passages WHERE " + PostgresFilter(parameters).condition(*filter) + ")";
      if (allowed) {
        parameters.add(*allowed);
        condition += message(" AND passage = ANY ($", parameters.count(), ")");
      }
      out[q] = nearest(db(), vectors_table(in_store), space.metric, condition, parameters, k);
    }
    return out;
  }

  bool holds(const VectorSpace& space) { return space_id(space) != 0; }

  std::size_t vector_count(const VectorSpace& space) {
    const std::int64_t in_store = space_id(space);
    if (in_store == 0) return 0;
    return static_cast<std::size_t>(db().once("SELECT count(*) FROM " + vectors_table(in_store)).integer(0, 0));
  }

 protected:
  /// Passages, and words in them.
  virtual std::pair<std::int64_t, std::int64_t> totals() {
    const PostgresRows rows = db().rows("SELECT passages, words FROM store");
    return {rows.integer(0, 0), rows.integer(0, 1)};
  }
};

class PostgresSnapshot : public PostgresReading<Snapshot> {
 public:
  explicit PostgresSnapshot(std::shared_ptr<PostgresPool> pool)
      : PostgresReading(std::move(pool), "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY") {
    generation();  // the first read is what fixes the snapshot
  }
};

}  // namespace graft::detail
