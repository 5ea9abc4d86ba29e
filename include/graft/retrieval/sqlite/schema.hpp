#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <tuple>

#include "graft/retrieval/sqlite/connection.hpp"
#include "graft/retrieval/sqlite/words.hpp"

namespace graft::detail {

/// "grft" in the header of the file: SQLite's application_id.
inline constexpr std::int64_t kStoreId = 0x67726674;

/// Script i brings a store from version i to i + 1. SQLite's user_version holds the version. Scripts are never changed,
/// only added: a file of any version can be brought up to date.
inline constexpr std::array kMigrations = {
    R"(
CREATE TABLE store(one INTEGER PRIMARY KEY CHECK(one = 1), generation INTEGER NOT NULL);
INSERT INTO store VALUES(1, 0);
CREATE TABLE history(
  generation INTEGER PRIMARY KEY,
  stamp TEXT NOT NULL);
INSERT INTO history VALUES(0, lower(hex(randomblob(16))));
CREATE TABLE documents(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uri TEXT NOT NULL UNIQUE,
  hash TEXT NOT NULL,
  modified INTEGER NOT NULL,
  cutting TEXT NOT NULL,
  metadata TEXT NOT NULL,
  text BLOB NOT NULL);
CREATE TABLE passages(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  document INTEGER NOT NULL,
  place INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  heading TEXT NOT NULL,
  UNIQUE(document, place));
CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='porter unicode61');
CREATE TABLE attributes(
  document INTEGER NOT NULL,
  key TEXT NOT NULL,
  kind INTEGER NOT NULL,
  value NOT NULL,
  PRIMARY KEY(key, kind, value, document)) WITHOUT ROWID;
CREATE INDEX attributes_of_document ON attributes(document);
CREATE TABLE spaces(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL UNIQUE,
  width INTEGER NOT NULL,
  metric TEXT NOT NULL);
CREATE TABLE vectors(
  id INTEGER PRIMARY KEY,
  space INTEGER NOT NULL,
  passage INTEGER NOT NULL,
  numbers BLOB NOT NULL,
  UNIQUE(space, passage));
CREATE INDEX vectors_of_passage ON vectors(passage);
)",
    // What goes into the word index is a line of word_line(). open_store() fills it again from the passages. A source
    // is written down where it is not the uri.
    R"(
DROP TABLE words;
CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='porter ascii');
CREATE TABLE sources(
  document INTEGER PRIMARY KEY,
  source TEXT NOT NULL);
)",
    R"(
CREATE TABLE notes(
  name TEXT PRIMARY KEY,
  text TEXT NOT NULL) WITHOUT ROWID;
)"};

inline std::int64_t pragma(SqliteConnection& connection, const char* sql) {
  SqliteRows rows(connection, std::string(sql));
  return rows.next() ? rows.integer(0) : 0;
}

/// Everything in the schema but SQLite's own tables: type, name, statement.
inline std::set<std::tuple<std::string, std::string, std::string>> schema(SqliteConnection& connection) {
  std::set<std::tuple<std::string, std::string, std::string>> out;
  SqliteRows rows(connection,
                  std::string("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"));
  while (rows.next()) out.emplace(rows.text(0), rows.text(1), rows.text(2));
  return out;
}

/// Undoes an open transaction unless commit() was reached.
class SqliteTransaction {
 public:
  explicit SqliteTransaction(SqliteConnection& connection) : connection_(&connection) {
    connection.run("BEGIN IMMEDIATE");
  }
  SqliteTransaction(const SqliteTransaction&) = delete;
  SqliteTransaction& operator=(const SqliteTransaction&) = delete;
  ~SqliteTransaction() {
    if (connection_->in_transaction()) sqlite3_exec(connection_->get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void commit() { connection_->run("COMMIT"); }

 private:
  SqliteConnection* connection_;
};

/// Runs the migrations from `version` on; version 2 has other words.
inline void migrate(SqliteConnection& connection, std::int64_t version) {
  for (auto next = static_cast<std::size_t>(version); next < kMigrations.size(); ++next)
    connection.run(kMigrations[next]);
  if (version == 1) index_words(connection);
  connection.run(message("PRAGMA application_id = ", kStoreId, "; PRAGMA user_version = ", kMigrations.size()).c_str());
}

/// Makes an empty file a store, brings an older one up to date, and refuses what is no store.
inline void open_store(SqliteConnection& connection) {
  const auto newest = static_cast<std::int64_t>(kMigrations.size());
  const auto is_current = [&] {
    const std::int64_t id = pragma(connection, "PRAGMA application_id");
    const std::int64_t version = pragma(connection, "PRAGMA user_version");
    if (id == 0 && version == 0 && pragma(connection, "SELECT count(*) FROM sqlite_schema") == 0) return false;
    if (id != kStoreId)
      throw FormatError(message(quoted(connection.name()), ": is an SQLite file of another program (application_id ",
                                id, "); give the path of a store"));
    if (version < 1 || version > newest)
      throw FormatError(message(quoted(connection.name()), ": has schema version ", version,
                                ", this version of graft knows 1 to ", newest,
                                "; open it with the version that wrote it"));
    return version == newest;
  };
  if (!is_current()) {
    connection.run("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL");
    SqliteTransaction transaction(connection);
    if (!is_current()) {  // asked again: another process may have been first
      migrate(connection, pragma(connection, "PRAGMA user_version"));
      transaction.commit();
    }
  }
  connection.run("PRAGMA journal_mode = WAL");
  SqliteConnection fresh(":memory:", true, std::chrono::milliseconds(0));
  migrate(fresh, 0);
  const auto expected = schema(fresh);
  for (const auto& entry : schema(connection))
    if (!expected.contains(entry))
      throw FormatError(message(quoted(connection.name()), ": holds the ", std::get<0>(entry), " ",
                                quoted(std::get<1>(entry)), ", which no store has; it was changed by another program"));
  if (schema(connection).size() != expected.size())
    throw FormatError(
        message(quoted(connection.name()), ": lacks tables that every store has; take a copy that is whole"));
  if (pragma(connection, "SELECT count(*) FROM store") != 1)
    throw FormatError(
        message(quoted(connection.name()), ": has lost its generation number; take a copy that is whole"));
}

}  // namespace graft::detail
