#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "graft/retrieval/detail/filter_sql.hpp"
#include "graft/retrieval/detail/metadata.hpp"
#include "graft/retrieval/detail/sha256.hpp"
#include "graft/retrieval/detail/sqlite_schema.hpp"
#include "graft/retrieval/detail/top_k.hpp"
#include "graft/retrieval/index.hpp"

namespace graft {

namespace detail {

static_assert(std::endian::native == std::endian::little, "vectors are stored as little-endian float32");

/// Connections that nobody uses right now. Snapshots give theirs back, also after the store is gone.
class SqlitePool {
 public:
  SqlitePool(std::filesystem::path path, SqliteStoreOptions options) : path_(std::move(path)), options_(options) {}

  const SqliteStoreOptions& options() const { return options_; }

  std::unique_ptr<SqliteConnection> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<SqliteConnection> out = std::move(idle_.back());
        idle_.pop_back();
        return out;
      }
    }
    return std::make_unique<SqliteConnection>(path_, false, options_.wait);
  }

  void give(std::unique_ptr<SqliteConnection> connection) noexcept {
    if (sqlite3_get_autocommit(connection->get()) == 0) return;  // could not be rolled back: closed instead
    const std::lock_guard lock(mutex_);
    if (idle_.size() < 16) idle_.push_back(std::move(connection));
  }

 private:
  std::filesystem::path path_;
  SqliteStoreOptions options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SqliteConnection>> idle_;
};

inline void check_text(std::string_view what, std::string_view text) {
  if (const auto at = invalid_utf8(text))
    throw OptionError(message(what, " is not UTF-8 at byte ", *at, "; convert it first"));
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos)
    throw OptionError(message(what, " holds a NUL at byte ", at, "; it seems to be no text"));
}

/// As JSON. Throws OptionError for more than a document may have.
inline std::string metadata_text(const Json& metadata) {
  std::string out = metadata.dump();
  if (out.size() > kMetadataBytes)
    throw OptionError(message("metadata has ", out.size(), " bytes as JSON; a document may have ", kMetadataBytes));
  return out;
}

/// Throws OptionError for a document that no store takes, or one above `limit` bytes.
inline void check_document(const Document& document, std::size_t limit) {
  if (document.uri.empty()) throw OptionError("a document has an empty uri; give it a name");
  if (document.uri.size() > 4096)
    throw OptionError(
        message("the uri ", quoted(document.uri, 60), " has ", document.uri.size(), " bytes; at most 4096 are kept"));
  check_text(message("the uri ", quoted(document.uri, 60)), document.uri);
  if (document.text.size() > limit)
    throw OptionError(message("document ", quoted(document.uri), " has ", document.text.size(), " bytes, the limit is ",
                              limit, "; split it, or raise the option \"document_bytes\""));
  check_text(message("document ", quoted(document.uri)), document.text);
  attributes(document.uri, document.metadata, document.modified);
  metadata_text(document.metadata);
}

/// The words of a question as an FTS5 expression: each a quoted string, so that none is an operator, joined by OR.
inline std::string word_query(std::string_view question) {
  std::set<std::string, std::less<>> words;
  std::string out, word;
  const auto flush = [&] {
    if (!word.empty() && words.insert(word).second) out += (out.empty() ? "\"" : " OR \"") + word + "\"";
    word.clear();
  };
  for (const char c : question) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = byte >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter)
      word += c;
    else
      flush();
  }
  flush();
  return out;
}

/// Reading, for snapshots and writers alike.
template <class Interface>
class SqliteReading : public Interface {
 public:
  SqliteReading(std::shared_ptr<SqlitePool> pool, const char* begin) : pool_(std::move(pool)), held_(pool_->take()) {
    db().run(begin);
  }
  ~SqliteReading() override {
    if (db().in_transaction()) sqlite3_exec(db().get(), "ROLLBACK", nullptr, nullptr, nullptr);
    pool_->give(std::move(held_));
  }

  std::uint64_t generation() override { return static_cast<std::uint64_t>(count("SELECT generation FROM store")); }

  std::string stamp() override {
    SqliteRows rows(db(), "SELECT stamp FROM history JOIN store ON store.generation = history.generation");
    if (!rows.next())
      throw FormatError(message(db().name(), ": has lost the stamp of its generation; the store is damaged"));
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
    while (rows.next()) out.push_back(space_of(rows.text(0), rows.integer(1), rows.text(2)));
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

  std::string text(DocumentId id, std::size_t begin, std::size_t end) override {
    if (end < begin) throw OptionError(message("bytes ", begin, " to ", end, " of a text are asked for"));
    if (!has_document(id)) no_document(id);
    const SqliteHandle<sqlite3_blob> blob = open_text(id);
    const auto size = static_cast<std::size_t>(sqlite3_blob_bytes(blob.get()));
    begin = std::min(begin, size);
    return read_text(blob.get(), begin, std::min(end, size));
  }

  std::vector<Passage> passages(std::span<const PassageId> ids) override {
    std::vector<Passage> out;
    out.reserve(ids.size());
    for (const PassageId id : ids) {
      SqliteRows rows(db(), "SELECT id, document, place, first, last, heading FROM passages WHERE id = ?1", id);
      if (!rows.next()) throw OptionError(message(db().name(), ": there is no passage ", id));
      out.push_back(passage(rows));
    }
    read_texts(out);
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
    if (const auto at = invalid_utf8(question))
      throw OptionError(message("the question ", quoted(question), " is not UTF-8 at byte ", *at));
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
      if (!rows.next())
        throw OptionError(message(db().name(), ": passage ", ids[i], " has no vector of model ", quoted(space.model)));
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

 protected:
  SqliteConnection& db() const { return *held_; }
  const SqliteStoreOptions& options() const { return pool_->options(); }

  std::int64_t count(const char* sql) {
    SqliteRows rows(db(), sql);
    return rows.next() ? rows.integer(0) : 0;
  }

  /// 0 if the store does not have it. Throws OptionError if it has the model with another width or metric.
  std::int64_t space_id(const VectorSpace& space) {
    SqliteRows rows(db(), "SELECT id, width, metric FROM spaces WHERE model = ?1", space.model);
    if (!rows.next()) return 0;
    const VectorSpace stored = space_of(space.model, rows.integer(1), rows.text(2));
    if (stored != space)
      throw OptionError(message(db().name(), ": vectors of model ", quoted(space.model), " are ", stored.width,
                                " wide and compared by ", metric_name(stored.metric), ", not ", space.width,
                                " wide by ", metric_name(space.metric)));
    return rows.integer(0);
  }

  [[noreturn]] void no_document(DocumentId id) const {
    throw OptionError(message(db().name(), ": there is no document ", id));
  }

 private:
  VectorSpace space_of(std::string model, std::int64_t width, const std::string& metric) const {
    const auto known = metric_by_name(metric);
    if (!known || width < 1 || width > 65536)
      throw FormatError(message(db().name(), ": vectors of model ", quoted(model), " are said to be ", width,
                                " wide by ", quoted(metric), "; the store is damaged"));
    return {std::move(model), width, *known};
  }

  StoredDocument document(DocumentId id) {
    SqliteRows rows(db(),
                    "SELECT uri, hash, modified, cutting, metadata, length(text), "
                    "(SELECT count(*) FROM passages WHERE document = documents.id) FROM documents WHERE id = ?1",
                    id);
    if (!rows.next()) no_document(id);
    StoredDocument out;
    out.id = id;
    out.uri = rows.text(0);
    out.hash = rows.text(1);
    out.modified = rows.integer(2);
    out.cutting = rows.text(3);
    out.metadata = parse_json(rows.text(4), message(db().name(), ", metadata of document ", id));
    out.bytes = static_cast<std::size_t>(rows.integer(5));
    out.passages = static_cast<std::size_t>(rows.integer(6));
    return out;
  }

  Passage passage(const SqliteRows& rows) const {
    Passage out;
    out.id = rows.integer(0);
    out.document = rows.integer(1);
    out.order = rows.integer(2);
    const std::int64_t first = rows.integer(3), last = rows.integer(4);
    if (first < 0 || last <= first)
      throw FormatError(
          message(db().name(), ": passage ", out.id, " has bytes ", first, " to ", last, "; the store is damaged"));
    out.range = {static_cast<std::size_t>(first), static_cast<std::size_t>(last), rows.text(5)};
    return out;
  }

  bool has_document(DocumentId id) {
    SqliteRows rows(db(), "SELECT 1 FROM documents WHERE id = ?1", id);
    return rows.next();
  }

  SqliteHandle<sqlite3_blob> open_text(DocumentId id) {
    sqlite3_blob* raw = nullptr;
    const int code = sqlite3_blob_open(db().get(), "main", "documents", "text", id, 0, &raw);
    SqliteHandle<sqlite3_blob> blob(raw);
    db().check(code, "cannot be read");
    return blob;
  }

  std::string read_text(sqlite3_blob* blob, std::size_t begin, std::size_t end) {
    std::string out(end - begin, '\0');
    db().check(sqlite3_blob_read(blob, out.data(), static_cast<int>(out.size()), static_cast<int>(begin)),
               "cannot be read");
    return out;
  }

  /// Reads only the bytes of the passages, however long their documents are.
  void read_texts(std::vector<Passage>& passages) {
    SqliteHandle<sqlite3_blob> blob;
    DocumentId open = 0;
    for (Passage& passage : passages) {
      if (open != passage.document) {
        if (!has_document(passage.document))
          throw FormatError(message(db().name(), ": passage ", passage.id, " belongs to document ", passage.document,
                                    ", which is not there; the store is damaged"));
        blob = open_text(passage.document);
        open = passage.document;
      }
      if (passage.range.end > static_cast<std::size_t>(sqlite3_blob_bytes(blob.get())))
        throw FormatError(message(db().name(), ": passage ", passage.id, " ends at byte ", passage.range.end,
                                  " of a text of ", sqlite3_blob_bytes(blob.get()), "; the store is damaged"));
      passage.text = read_text(blob.get(), passage.range.begin, passage.range.end);
    }
  }

  std::shared_ptr<SqlitePool> pool_;
  std::unique_ptr<SqliteConnection> held_;
};

class SqliteSnapshot : public SqliteReading<Snapshot> {
 public:
  explicit SqliteSnapshot(std::shared_ptr<SqlitePool> pool) : SqliteReading(std::move(pool), "BEGIN") {
    generation();  // the first read is what fixes the snapshot
  }
};

class SqliteWriter : public SqliteReading<Writer> {
 public:
  explicit SqliteWriter(std::shared_ptr<SqlitePool> pool) : SqliteReading(std::move(pool), "BEGIN IMMEDIATE") {}

  std::vector<PassageId> put(const Document& document, std::span<const PassageRange> ranges,
                             std::string_view cutting) override {
    check_document(document, options().document_bytes);
    check_ranges(document, ranges);
    const std::vector<Attribute> fields = attributes(document.uri, document.metadata, document.modified);
    const std::string metadata = metadata_text(document.metadata);
    std::vector<PassageId> ids;
    change([&] {
      DocumentId id = 0;
      const auto text = std::as_bytes(std::span(document.text));
      if (const auto old = find_id(document.uri)) {
        id = *old;
        remove_passages(id);
        SqliteRows rows(
            db(), "UPDATE documents SET hash = ?1, modified = ?2, cutting = ?3, metadata = ?4, text = ?5 WHERE id = ?6",
            sha256(document.text), document.modified, cutting, metadata, text, id);
        rows.run();
      } else {
        SqliteRows rows(
            db(), "INSERT INTO documents(uri, hash, modified, cutting, metadata, text) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            document.uri, sha256(document.text), document.modified, cutting, metadata, text);
        rows.run();
        id = sqlite3_last_insert_rowid(db().get());
      }
      put_attributes(id, fields);
      for (const PassageRange& range : ranges) ids.push_back(put_passage(id, ids.size(), document.text, range));
    });
    return ids;
  }

  void set_metadata(std::string_view uri, const Json& metadata, std::int64_t modified) override {
    const auto id = find_id(uri);
    if (!id) throw OptionError(message(db().name(), ": there is no document ", quoted(uri)));
    const std::vector<Attribute> fields = attributes(uri, metadata, modified);
    const std::string text = metadata_text(metadata);
    change([&] {
      SqliteRows(db(), "UPDATE documents SET metadata = ?1, modified = ?2 WHERE id = ?3", text, modified, *id).run();
      put_attributes(*id, fields);
    });
  }

  bool remove(std::string_view uri) override {
    const auto id = find_id(uri);
    if (!id) return false;
    change([&] {
      remove_passages(*id);
      SqliteRows(db(), "DELETE FROM attributes WHERE document = ?1", *id).run();
      SqliteRows(db(), "DELETE FROM documents WHERE id = ?1", *id).run();
    });
    return true;
  }

  void add_space(const VectorSpace& space) override {
    check_space(space);
    if (const auto at = invalid_utf8(space.model))
      throw OptionError(message("the fingerprint of a model is not UTF-8 at byte ", *at));
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
    if (to == 0)
      throw OptionError(message(db().name(), ": holds no vectors of model ", quoted(space.model),
                                " yet; call add_space() first, "
                                "or check that this is the model the store was made with"));
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
    if (!db().in_transaction())
      throw StateError(message(
          db().name(), ": this writer has ended, by commit() or by an error of the system; call write() again"));
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

  static void check_ranges(const Document& document, std::span<const PassageRange> ranges) {
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const PassageRange& range = ranges[i];
      const bool inside = range.begin < range.end && range.end <= document.text.size();
      if (!inside || !is_character_border(document.text, range.begin) || !is_character_border(document.text, range.end))
        throw OptionError(message("document ", quoted(document.uri), ", passage ", i, ": bytes ", range.begin, " to ",
                                  range.end, " are not whole characters of a text of ", document.text.size(),
                                  " bytes"));
      check_text(message("document ", quoted(document.uri), ", heading of passage ", i), range.heading);
    }
  }

  void check_needs_vector(std::int64_t space, PassageId id) {
    SqliteRows rows(
        db(), "SELECT (SELECT count(*) FROM vectors WHERE space = ?1 AND passage = ?2) FROM passages WHERE id = ?2",
        space, id);
    if (!rows.next()) throw OptionError(message(db().name(), ": there is no passage ", id));
    if (rows.integer(0) != 0)
      throw OptionError(message(db().name(), ": passage ", id, " has a vector of this model already"));
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
    SqliteRows(db(), "INSERT INTO words(rowid, text) VALUES(?1, ?2)", id,
               searchable(range.heading, text.substr(range.begin, range.end - range.begin)))
        .run();
    return id;
  }

  /// The word index keeps no text: it is told again what it was given, to take it out.
  void remove_passages(DocumentId document) {
    for (const Passage& passage : passages_of(document, 0, INT64_MAX)) {
      SqliteRows(db(), "INSERT INTO words(words, rowid, text) VALUES('delete', ?1, ?2)", passage.id,
                 searchable(passage.range.heading, passage.text))
          .run();
      SqliteRows(db(), "DELETE FROM vectors WHERE passage = ?1", passage.id).run();
    }
    SqliteRows(db(), "DELETE FROM passages WHERE document = ?1", document).run();
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

/// What must be zero in a whole store, and what it means if it is not.
inline constexpr std::pair<const char*, const char*> kInvariants[] = {
    {"SELECT count(*) FROM passages WHERE document NOT IN (SELECT id FROM documents)", "passages without a document"},
    {"SELECT count(*) FROM passages JOIN documents ON documents.id = passages.document WHERE first < 0 OR last <= "
     "first OR "
     "last > length(text)",
     "passages outside their text"},
    {"SELECT count(*) FROM passages WHERE id NOT IN (SELECT id FROM words_docsize)", "passages without words"},
    {"SELECT count(*) FROM words_docsize WHERE id NOT IN (SELECT id FROM passages)", "words without a passage"},
    {"SELECT count(*) FROM attributes WHERE document NOT IN (SELECT id FROM documents)", "metadata without a document"},
    {"SELECT count(*) FROM vectors WHERE passage NOT IN (SELECT id FROM passages)", "vectors without a passage"},
    {"SELECT count(*) FROM vectors WHERE space NOT IN (SELECT id FROM spaces)", "vectors without a model"},
    {"SELECT count(*) FROM vectors JOIN spaces ON spaces.id = vectors.space WHERE typeof(numbers) != 'blob' OR "
     "length(numbers) != 4 * width",
     "vectors of another width than their model's"},
};

}  // namespace detail

inline SqliteStore::SqliteStore(std::filesystem::path path, SqliteStoreOptions options) : path_(std::move(path)) {
  if (options.document_bytes < 1 || options.document_bytes > 900u << 20)
    throw OptionError(message("document_bytes is ", options.document_bytes, "; choose 1 to ", 900u << 20));
  if (options.wait.count() < 0 || options.wait.count() > 86'400'000)
    throw OptionError(message("wait is ", options.wait.count(), " ms; choose 0 to 86400000"));
  auto first = std::make_unique<detail::SqliteConnection>(path_, options.create, options.wait);
  detail::open_store(*first);
  pool_ = std::make_shared<detail::SqlitePool>(path_, options);
  pool_->give(std::move(first));
}

inline SqliteStore::~SqliteStore() = default;

inline void SqliteStore::check_document(const Document& document) const {
  detail::check_document(document, pool_->options().document_bytes);
}

inline std::unique_ptr<Snapshot> SqliteStore::read() { return std::make_unique<detail::SqliteSnapshot>(pool_); }

inline std::unique_ptr<Writer> SqliteStore::write() { return std::make_unique<detail::SqliteWriter>(pool_); }

inline void SqliteStore::check() {
  std::unique_ptr<detail::SqliteConnection> connection = pool_->take();
  std::string faults;
  {
    detail::SqliteRows rows(*connection, std::string("PRAGMA integrity_check(20)"));
    while (rows.next())
      if (const std::string line = rows.text(0); line != "ok") faults += "\n  " + line;
  }
  for (const auto& [sql, meaning] : detail::kInvariants)
    if (const std::int64_t count = detail::pragma(*connection, sql); count != 0)
      faults += message("\n  ", count, " ", meaning);
  if (!faults.empty()) throw FormatError(message(quoted(name()), ": is damaged; take a copy that is whole:", faults));
  connection->run("BEGIN");
  connection->run("INSERT INTO words(words) VALUES('integrity-check')");  // throws FormatError itself
  connection->run("ROLLBACK");
  pool_->give(std::move(connection));
}

}  // namespace graft
