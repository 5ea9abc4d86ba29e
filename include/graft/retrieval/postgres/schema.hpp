#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "graft/retrieval/detail/document_checks.hpp"
#include "graft/retrieval/postgres/connection.hpp"
#include "graft/retrieval/postgres/words.hpp"

namespace graft::detail {

/// Script i brings a store from version i to i + 1. Scripts are never changed, only added.
///
/// The tables mirror those of the SQLite file. Texts are bytea, so that offsets count bytes, kept unpacked, so that a
/// passage is read without its document; what filters compare is bytea as well, which compares byte by byte whatever
/// the database's collation. Long values are found by their first 256 bytes: PostgreSQL's indexes take no long ones.
/// Vectors of space n are in the table vectors_n. The text search configuration stems and knows no stop words.
inline constexpr std::array kPostgresMigrations = {
    R"(
CREATE TABLE store(
  one boolean PRIMARY KEY CHECK (one),
  version bigint NOT NULL,
  generation bigint NOT NULL,
  next_document bigint NOT NULL,
  next_passage bigint NOT NULL,
  next_space bigint NOT NULL,
  passages bigint NOT NULL,
  words bigint NOT NULL);
INSERT INTO store VALUES (true, 0, 0, 1, 1, 1, 0, 0);
CREATE TABLE history(generation bigint PRIMARY KEY, stamp text NOT NULL);
INSERT INTO history VALUES (0, gen_random_uuid()::text);
CREATE TABLE documents(
  id bigint PRIMARY KEY,
  uri text COLLATE "C" NOT NULL,
  hash text NOT NULL,
  modified bigint NOT NULL,
  cutting text NOT NULL,
  metadata json NOT NULL,
  text bytea NOT NULL,
  EXCLUDE USING hash (uri WITH =));
ALTER TABLE documents ALTER text SET STORAGE EXTERNAL;
CREATE TABLE passages(
  id bigint PRIMARY KEY,
  document bigint NOT NULL,
  place bigint NOT NULL,
  first bigint NOT NULL,
  last bigint NOT NULL,
  heading text NOT NULL,
  length bigint NOT NULL,
  words tsvector NOT NULL,
  UNIQUE (document, place));
CREATE INDEX passages_of_words ON passages USING gin (words);
CREATE TABLE attributes(
  document bigint NOT NULL,
  key bytea NOT NULL,
  kind bigint NOT NULL,
  number numeric,
  text bytea);
CREATE INDEX attributes_of_document ON attributes (document);
CREATE INDEX attributes_by_number ON attributes (substring(key, 1, 256), kind, number, document) WHERE kind < 2;
CREATE INDEX attributes_by_text ON attributes (substring(key, 1, 256), substring(text, 1, 256), document)
  WHERE kind = 2;
CREATE TABLE spaces(
  id bigint PRIMARY KEY,
  model text COLLATE "C" NOT NULL,
  width bigint NOT NULL,
  metric text NOT NULL,
  EXCLUDE USING hash (model WITH =));
CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE = pg_catalog.snowball, LANGUAGE = porter);
CREATE TEXT SEARCH CONFIGURATION words (PARSER = pg_catalog."default");
ALTER TEXT SEARCH CONFIGURATION words ADD MAPPING FOR
  asciiword, word, numword, int, uint, float, sfloat, version, asciihword, hword, numhword, hword_asciipart, hword_part,
  hword_numpart, host, email, url, url_path, file, protocol, tag, entity WITH stems;
)",
    // The words of a passage are those of word_line(). open_store() makes them anew.
    R"(
ALTER TABLE documents ADD source text COLLATE "C" NOT NULL DEFAULT '';
UPDATE documents SET source = uri;
)",
    R"(
CREATE TABLE notes(name text COLLATE "C" NOT NULL, text text NOT NULL, EXCLUDE USING hash (name WITH =));
)"};

/// Every column of a store's own tables.
inline constexpr std::string_view kPostgresColumns =
    "attributes.document bigint, attributes.key bytea, attributes.kind bigint, attributes.number numeric, "
    "attributes.text bytea, documents.cutting text, documents.hash text, documents.id bigint, "
    "documents.metadata json, documents.modified bigint, documents.source text, documents.text bytea, "
    "documents.uri text, "
    "history.generation bigint, history.stamp text, notes.name text, notes.text text, passages.document bigint, "
    "passages.first bigint, "
    "passages.heading text, passages.id bigint, passages.last bigint, passages.length bigint, passages.place bigint, "
    "passages.words tsvector, spaces.id bigint, spaces.metric text, spaces.model text, spaces.width bigint, "
    "store.generation bigint, store.next_document bigint, store.next_passage bigint, store.next_space bigint, "
    "store.one boolean, store.passages bigint, store.version bigint, store.words bigint";

/// A transaction, undone unless commit() is reached.
class PostgresTransaction {
 public:
  explicit PostgresTransaction(PostgresConnection& connection) : connection_(&connection) { connection.run("BEGIN"); }
  PostgresTransaction(const PostgresTransaction&) = delete;
  PostgresTransaction& operator=(const PostgresTransaction&) = delete;
  ~PostgresTransaction() {
    if (!done_) PQclear(PQexec(connection_->get(), "ROLLBACK"));
  }
  void commit() {
    connection_->run("COMMIT");
    done_ = true;
  }

 private:
  PostgresConnection* connection_;
  bool done_ = false;
};

/// How a connection speaks, for as long as it lasts. Names are looked for in the store's schema and pgvector's, and in
/// none that others can write to; what commit() acknowledged is on the disk.
inline void set_up_session(PostgresConnection& connection, const std::string& schema, std::size_t ef_search) {
  connection.once(
      "SELECT set_config('search_path', quote_ident($1) || coalesce((SELECT ',' || quote_ident(n.nspname) FROM "
      "pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'), '') || ',pg_temp', "
      "false), set_config('jit', 'off', false), "
      "set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE "
      "current_setting('synchronous_commit') END, false), set_config('hnsw.ef_search', $2, false), "
      "set_config('hnsw.iterative_scan', 'strict_order', false)",
      PostgresParameters(schema, message(ef_search)));
}

inline void check_server(PostgresConnection& connection) {
  if (const int version = PQserverVersion(connection.get()); version < 140000)
    throw FileError(
        message(connection.name(), ": is PostgreSQL ", version / 10000, "; a store needs version 14 or newer"));
  const char* encoding = PQparameterStatus(connection.get(), "server_encoding");
  if (!encoding || std::string_view(encoding) != "UTF8")
    throw OptionError(message(connection.name(), ": the database is encoded in ", encoding ? encoding : "nothing known",
                              "; make one with ENCODING 'UTF8'"));
}

/// Throws unless pgvector is there, new enough for scans that go on until a filter has let enough through.
inline void check_pgvector(PostgresConnection& connection) {
  const PostgresRows rows = connection.once("SELECT extversion FROM pg_extension WHERE extname = 'vector'");
  if (rows.empty())
    throw FormatError(message(connection.name(), ": has lost the extension pgvector; run CREATE EXTENSION vector"));
  const std::string version = rows.text(0, 0);
  int major = 0, minor = 0;
  const char* const end = version.data() + version.size();
  const char* at = std::from_chars(version.data(), end, major).ptr;
  if (at != end) std::from_chars(at + 1, end, minor);
  if (major == 0 && minor < 8)
    throw FileError(message(connection.name(), ": has pgvector ", version, "; a store needs 0.8 or newer"));
}

/// Runs the migrations from `version` on, within a transaction; version 2 has other words.
inline void migrate(PostgresConnection& connection, std::int64_t version) {
  for (auto next = static_cast<std::size_t>(version); next < kPostgresMigrations.size(); ++next)
    connection.run(kPostgresMigrations[next]);
  if (version == 1) index_words(connection);
  connection.once("UPDATE store SET version = $1", PostgresParameters(kPostgresMigrations.size()));
}

/// Makes the schema with an empty store. Throws FormatError if the schema holds other things.
inline void create_store(PostgresConnection& connection, const std::string& schema) {
  connection.once("SELECT pg_advisory_xact_lock(hashtextextended('graft ' || $1, 0))", PostgresParameters(schema));
  if (!connection.once("SELECT to_regclass(quote_ident($1) || '.store')", PostgresParameters(schema)).is_null(0, 0))
    return;  // another process was first
  const std::unique_ptr<char, void (*)(void*)> name(PQescapeIdentifier(connection.get(), schema.data(), schema.size()),
                                                    PQfreemem);
  if (connection.once("SELECT 1 FROM pg_namespace WHERE nspname = $1", PostgresParameters(schema)).empty())
    connection.run(message("CREATE SCHEMA ", name.get()));
  const PostgresRows others = connection.once(
      "SELECT relname::text FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) "
      "ORDER BY 1 LIMIT 1",
      PostgresParameters(schema));
  if (!others.empty())
    throw FormatError(message(connection.name(), ": holds ", quoted(others.text(0, 0)),
                              ", which is no store's; name another schema"));
  if (connection.once("SELECT 1 FROM pg_extension WHERE extname = 'vector'").empty()) {
    if (connection.once("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").empty())
      throw FileError(message(
          connection.name(), ": the server has no pgvector; install it there (Debian: postgresql-<version>-pgvector)"));
    connection.run("CREATE EXTENSION vector SCHEMA public");
  }
}

/// Throws FormatError unless the tables are those of a store, in the newest version.
inline void check_schema(PostgresConnection& connection, const std::string& schema) {
  const PostgresRows columns = connection.once(
      "SELECT coalesce(string_agg(c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, NULL), ', ' "
      "ORDER BY c.relname COLLATE \"C\", a.attname COLLATE \"C\"), '') FROM pg_class c JOIN pg_attribute a ON "
      "a.attrelid = c.oid WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND "
      "c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND c.relname !~ '^vectors_[0-9]+$'",
      PostgresParameters(schema));
  if (columns.text(0, 0) != kPostgresColumns)
    throw FormatError(
        message(connection.name(), ": the tables are not those of a store; they were changed by another program"));
  if (connection.once("SELECT 1 FROM store").size() != 1)
    throw FormatError(message(connection.name(), ": has lost its generation number; take a copy that is whole"));
}

/// Makes an empty schema a store, brings an older one up to date, and refuses what is no store.
inline void open_store(PostgresConnection& connection, const std::string& schema, bool create, std::size_t ef_search) {
  check_server(connection);
  const auto there = [&] {
    return !connection.once("SELECT to_regclass(quote_ident($1) || '.store')", PostgresParameters(schema))
                .is_null(0, 0);
  };
  if (!there() && !create)
    throw FileError(message(connection.name(), ": holds no store; check the option \"schema\", or let it be created"));
  const auto newest = static_cast<std::int64_t>(kPostgresMigrations.size());
  const auto version = [&] {
    if (!there()) return std::int64_t{0};
    const PostgresRows rows = connection.once(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'store' AND "
        "column_name = 'version' AND data_type = 'bigint'",
        PostgresParameters(schema));
    if (rows.integer(0, 0) == 0)
      throw FormatError(
          message(connection.name(), ": holds a table \"store\" of another program; name another schema"));
    const PostgresRows found = connection.once("SELECT version FROM store");
    const std::int64_t out = found.empty() ? newest : found.integer(0, 0);
    if (out < 1 || out > newest)
      throw FormatError(message(connection.name(), ": has schema version ", out, ", this version of graft knows 1 to ",
                                newest, "; open it with the version that wrote it"));
    return out;
  };
  set_up_session(connection, schema, ef_search);
  if (version() != newest) {
    PostgresTransaction transaction(connection);
    if (!there()) create_store(connection, schema);
    set_up_session(connection, schema, ef_search);
    connection.once("SELECT pg_advisory_xact_lock(hashtextextended('graft ' || $1, 0))", PostgresParameters(schema));
    if (const std::int64_t now = version(); now != newest) migrate(connection, now);
    transaction.commit();
    set_up_session(connection, schema, ef_search);
  }
  check_pgvector(connection);
  check_schema(connection, schema);
}

}  // namespace graft::detail
