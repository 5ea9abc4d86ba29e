#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "graft/core/hash.hpp"
#include "graft/retrieval/detail/document_checks.hpp"
#include "graft/retrieval/postgres/reading.hpp"

namespace graft::detail {

/// Waits for other writers before the first read, which is what fixes the state that is changed.
inline std::string begin_writing(std::size_t wait_ms) {
  const std::string begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; ";
  const std::string lock = "LOCK TABLE store IN SHARE ROW EXCLUSIVE MODE";
  if (wait_ms == 0) return begin + lock + " NOWAIT";
  return message(begin, "SET LOCAL lock_timeout = ", wait_ms, "; ", lock, "; SET LOCAL lock_timeout TO DEFAULT");
}

class PostgresWriter : public PostgresReading<Writer> {
 public:
  explicit PostgresWriter(std::shared_ptr<PostgresPool> pool)
      : PostgresReading(pool, begin_writing(pool->settings().wait_ms)) {
    const PostgresRows rows = db().rows("SELECT next_document, next_passage, next_space, passages, words FROM store");
    counts_ = {rows.integer(0, 0), rows.integer(0, 1), rows.integer(0, 2), rows.integer(0, 3), rows.integer(0, 4)};
  }

  std::vector<PassageId> put(const Document& document, std::span<const PassageRange> ranges,
                             std::string_view cutting) override {
    const StoredMetadata stored = check_document(document, ranges, cutting, settings().document_bytes);
    std::vector<PassageId> ids(ranges.size());
    change([&] {
      const std::optional<DocumentId> old = find_id(document.uri);
      const DocumentId id = old ? *old : counts_.next_document++;
      if (old) remove_parts(id);
      db().later(old ? "UPDATE documents SET uri = $2, hash = $3, modified = $4, cutting = $5, metadata = $6::json, "
                       "text = $7, source = $8 WHERE id = $1"
                     : "INSERT INTO documents(id, uri, hash, modified, cutting, metadata, text, source) "
                       "VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8)",
                 PostgresParameters(id, document.uri, sha256(document.text), document.modified, cutting, stored.text,
                                    std::as_bytes(std::span(document.text)),
                                    document.source.empty() ? document.uri : document.source));
      put_attributes(id, stored.attributes);
      for (PassageId& passage : ids) passage = counts_.next_passage++;
      put_passages(id, document, ranges, ids);
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
      db().rows(
          "UPDATE documents SET metadata = $1::json, modified = $2, source = coalesce(nullif($4, ''), source) "
          "WHERE id = $3",
          stored.text, modified, *id, source);
      db().rows("DELETE FROM attributes WHERE document = $1", *id);
      put_attributes(*id, stored.attributes);
    });
  }

  bool remove(std::string_view uri) override {
    const auto id = find_id(uri);
    if (!id) return false;
    change([&] {
      remove_parts(*id);
      db().rows("DELETE FROM documents WHERE id = $1", *id);
    });
    return true;
  }

  void add_space(const VectorSpace& space) override {
    check_space(space);
    check_text("the fingerprint of a model", space.model);
    if (space.width > kWidest)
      throw OptionError(message(db().name(), ": vectors of model ", quoted(space.model), " are ", space.width,
                                " numbers wide; pgvector keeps up to ", kWidest));
    check_open();
    if (space_id(space) != 0) return;
    change([&] {
      const std::int64_t id = counts_.next_space++;
      db().rows("INSERT INTO spaces(id, model, width, metric) VALUES ($1, $2, $3, $4)", id, space.model, space.width,
                metric_name(space.metric));
      db().run(message("CREATE TABLE ", vectors_table(id), "(passage bigint PRIMARY KEY, numbers vector(", space.width,
                       ") NOT NULL)"));
    });
  }

  /// The empty table stays: a snapshot of before may yet read it.
  bool remove_space(const VectorSpace& space) override {
    check_open();
    const std::int64_t id = space_id(space);
    if (id == 0) return false;
    change([&] {
      db().once("DELETE FROM " + vectors_table(id));
      db().rows("DELETE FROM spaces WHERE id = $1", id);
    });
    return true;
  }

  void put_vectors(const VectorSpace& space, std::span<const PassageId> ids, std::span<const float> vectors) override {
    check_space(space);
    check_vectors(space, ids.size(), vectors, "vector");
    check_open();
    const std::int64_t to = space_id(space);
    if (to == 0) no_space(db().name(), space);
    if (ids.empty()) return;
    const std::string table = vectors_table(to);
    check_need_vectors(table, ids);
    change([&] { copy_vectors(db(), table, ids, vectors, static_cast<std::size_t>(space.width)); });
    grown_.insert({to, space.width, space.metric});
  }

  /// Those that are there; the passages stay.
  void remove_vectors(const VectorSpace& space, std::span<const PassageId> ids) {
    check_open();
    const std::int64_t from = space_id(space);
    if (from == 0) return;
    change([&] {
      db().once("DELETE FROM " + vectors_table(from) + " WHERE passage = ANY ($1)", PostgresParameters(ids));
    });
  }

  void set_note(std::string_view name, std::string_view text) override {
    check_note(name, text);
    change([&] {
      db().rows("DELETE FROM notes WHERE name = $1", name);
      db().rows("INSERT INTO notes(name, text) VALUES ($1, $2)", name, text);
    });
  }

  bool remove_note(std::string_view name) override {
    check_open();
    if (!note(name)) return false;
    change([&] { db().rows("DELETE FROM notes WHERE name = $1", name); });
    return true;
  }

  void commit() override {
    check_open();
    if (!changed_) return db().run("COMMIT");
    for (const auto& [id, width, metric] : grown_)
      if (width <= kWidestIndexed) make_graph(db(), vectors_table(id), metric, settings());
    db().rows(
        "UPDATE store SET generation = generation + 1, next_document = $1, next_passage = $2, next_space = $3, "
        "passages = $4, words = $5",
        counts_.next_document, counts_.next_passage, counts_.next_space, counts_.passages, counts_.words);
    const std::string stamp =
        db().rows("INSERT INTO history SELECT generation, gen_random_uuid()::text FROM store RETURNING stamp")
            .text(0, 0);
    db().rows("DELETE FROM history WHERE generation < (SELECT generation FROM store) - 10000");
    try {
      db().run("COMMIT");
    } catch (const FileError& error) {
      if (db().alive() || !was_kept(stamp, error)) throw;
    }
  }

 private:
  static constexpr std::int64_t kWidest = 16'000;        // pgvector's limit of a value
  static constexpr std::int64_t kWidestIndexed = 2'000;  // and of an index

  /// What the store's row holds from commit to commit: ids to give next, and the totals that BM25 needs.
  struct Counts {
    std::int64_t next_document = 1, next_passage = 1, next_space = 1, passages = 0, words = 0;
  };

  std::pair<std::int64_t, std::int64_t> totals() override { return {counts_.passages, counts_.words}; }

  void check_open() const {
    if (!db().alive() || !db().in_transaction()) writer_ended(db().name());
  }

  /// Runs `work` all or not at all.
  template <class Work>
  void change(const Work& work) {
    check_open();
    const Counts before = counts_;
    db().later("SAVEPOINT change");
    try {
      work();
      db().flush();
    } catch (...) {
      counts_ = before;
      undo();
      throw;
    }
    db().later("RELEASE change");
    changed_ = true;
  }

  void undo() noexcept {
    try {
      db().flush();  // the savepoint itself, if nothing was run yet
    } catch (...) {
    }
    if (db().alive()) PQclear(PQexec(db().get(), "ROLLBACK TO change; RELEASE change"));
  }

  std::optional<DocumentId> find_id(std::string_view uri) {
    check_open();
    if (!is_postgres_text(uri)) return std::nullopt;
    const PostgresRows rows = db().rows("SELECT id FROM documents WHERE uri = $1", uri);
    if (rows.empty()) return std::nullopt;
    return rows.integer(0, 0);
  }

  /// Passages with their vectors, and what filters see; the document itself stays.
  void remove_parts(DocumentId document) {
    const PostgresRows spaces = db().rows("SELECT id FROM spaces");
    for (std::size_t row = 0; row < spaces.size(); ++row)
      db().once(message("DELETE FROM ", vectors_table(spaces.integer(row, 0)),
                        " WHERE passage IN (SELECT id FROM passages WHERE document = $1)"),
                PostgresParameters(document));
    const PostgresRows gone = db().rows("DELETE FROM passages WHERE document = $1 RETURNING length", document);
    for (std::size_t row = 0; row < gone.size(); ++row) --counts_.passages, counts_.words -= gone.integer(row, 0);
    db().rows("DELETE FROM attributes WHERE document = $1", document);
  }

  void put_attributes(DocumentId document, const std::vector<Attribute>& attributes) {
    std::vector<std::string> keys, numbers, texts;
    std::vector<std::int64_t> kinds;
    for (const Attribute& attribute : attributes) {
      const auto* text = std::get_if<std::string>(&attribute.value);
      keys.push_back(attribute.key);
      kinds.push_back(value_kind(attribute.value));
      numbers.push_back(text ? "0" : number_text(attribute.value));
      texts.push_back(text ? *text : std::string());
    }
    PostgresParameters parameters(document);
    parameters.add_bytes(keys);
    parameters.add(kinds);
    parameters.add_numbers(numbers);
    parameters.add_bytes(texts);
    db().later(
        "INSERT INTO attributes SELECT $1, key, kind, CASE WHEN kind < 2 THEN number END, CASE WHEN kind = 2 THEN text "
        "END FROM unnest($2, $3, $4, $5) AS given(key, kind, number, text)",
        std::move(parameters));
  }

  /// In pieces that a message to the server may have, whatever overlaps.
  void put_passages(DocumentId id, const Document& document, std::span<const PassageRange> ranges,
                    std::span<const PassageId> ids) {
    constexpr std::size_t kTogether = 16 << 20;
    for (std::size_t i = 0; i < ids.size();) {
      std::vector<std::int64_t> passages, places, first, last, lengths;
      std::vector<std::string> headings, words;
      for (std::size_t bytes = 0; i < ids.size() && bytes < kTogether; ++i) {
        const PassageRange& range = ranges[i];
        passages.push_back(ids[i]);
        places.push_back(static_cast<std::int64_t>(i));
        first.push_back(static_cast<std::int64_t>(range.begin));
        last.push_back(static_cast<std::int64_t>(range.end));
        headings.push_back(range.heading);
        words.push_back(word_line(
            searchable(range.heading, std::string_view(document.text).substr(range.begin, range.end - range.begin))));
        lengths.push_back(count_words(words.back()));
        ++counts_.passages;
        counts_.words += lengths.back();
        bytes += range.heading.size() + words.back().size();
      }
      PostgresParameters parameters(id, passages, places, first, last, lengths);
      parameters.add_texts(headings);
      parameters.add_texts(words);
      try {
        db().rows_with(
            "INSERT INTO passages SELECT passage, $1, place, first, last, heading, length, to_tsvector('words', words) "
            "FROM unnest($2, $3, $4, $5, $6, $7, $8) AS given(passage, place, first, last, length, heading, words)",
            std::move(parameters));
      } catch (const OptionError&) {  // PostgreSQL's limit of one tsvector
        throw OptionError(message("document ", quoted(document.uri), ", passages ", places.front(), " to ",
                                  places.back(),
                                  ": one has more different words than PostgreSQL's text search takes "
                                  "(1 MiB); cut it into smaller ones"));
      }
    }
  }

  void check_need_vectors(const std::string& table, std::span<const PassageId> ids) {
    std::vector<PassageId> sorted(ids.begin(), ids.end());
    std::sort(sorted.begin(), sorted.end());
    const PostgresRows rows = db().once(
        message("SELECT asked.id, p.id IS NULL FROM unnest($1) WITH ORDINALITY AS asked(id, n) LEFT JOIN passages p ON "
                "p.id = asked.id LEFT JOIN ",
                table, " v ON v.passage = asked.id WHERE p.id IS NULL OR v.passage IS NOT NULL ORDER BY n LIMIT 1"),
        PostgresParameters(ids));
    if (!rows.empty()) {
      if (rows.truth(0, 1)) no_passage(db().name(), rows.integer(0, 0));
      vector_there(db().name(), rows.integer(0, 0));
    }
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) vector_there(db().name(), *twice);
  }

  /// Whether a commit under which the connection was lost came through: waits for its end, then looks for its stamp.
  bool was_kept(const std::string& stamp, const FileError& lost) {
    try {
      std::unique_ptr<PostgresConnection> again = pool().connect();
      again->run(begin_writing(60'000));
      const bool kept = !again->rows("SELECT 1 FROM history WHERE stamp = $1", stamp).empty();
      again->run("ROLLBACK");
      if (kept) replace(std::move(again));
      return kept;
    } catch (const Error& error) {
      throw FileError(message(lost.what(),
                              "; this was during commit(), and whether the changes were kept cannot be "
                              "asked: ",
                              error.what()));
    }
  }

  Counts counts_;
  bool changed_ = false;
  std::set<std::tuple<std::int64_t, std::int64_t, Metric>> grown_;  // spaces: id, width, metric
};

}  // namespace graft::detail
