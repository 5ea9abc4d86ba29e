#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/retrieval/sqlite/failure.hpp"

namespace graft::detail {

struct CloseSqlite {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  void operator()(sqlite3_blob* blob) const { sqlite3_blob_close(blob); }
};
template <class Handle>
using SqliteHandle = std::unique_ptr<Handle, CloseSqlite>;

/// One connection, set up not to trust the file: no function, view or trigger in its schema runs, no extension loads,
/// no page is mapped. Used by one thread at a time.
class SqliteConnection {
 public:
  SqliteConnection(const std::filesystem::path& path, bool create, std::chrono::milliseconds wait)
      : path_(path), create_(create), wait_(wait) {
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (create ? SQLITE_OPEN_CREATE : 0);
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    database_.reset(raw);
    if (!raw) throw std::bad_alloc();
    check(code, "cannot be opened");
    sqlite3_busy_timeout(raw, static_cast<int>(wait.count()));
    for (const auto& [option, value] : {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                                        {SQLITE_DBCONFIG_DQS_DML, 0},
                                        {SQLITE_DBCONFIG_DQS_DDL, 0}})
      sqlite3_db_config(raw, option, value, nullptr);
    sqlite3_limit(raw, SQLITE_LIMIT_ATTACHED, 0);
    run("PRAGMA mmap_size = 0");
    run("PRAGMA cell_size_check = ON");
    run("PRAGMA synchronous = FULL");
  }

  sqlite3* get() const { return database_.get(); }
  std::string name() const { return path_.string(); }
  bool in_transaction() const { return sqlite3_get_autocommit(get()) == 0; }

  /// Runs statements without parameters or results.
  void run(const char* sql) { check(sqlite3_exec(get(), sql, nullptr, nullptr, nullptr), "cannot be used"); }

  /// A statement kept for the next time.
  sqlite3_stmt* kept(const char* sql) {
    SqliteHandle<sqlite3_stmt>& statement = statements_[sql];
    if (!statement) statement = prepare(sql);
    return statement.get();
  }

  SqliteHandle<sqlite3_stmt> prepare(std::string_view sql) {
    sqlite3_stmt* raw = nullptr;
    check(sqlite3_prepare_v2(get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr), "cannot be used");
    return SqliteHandle<sqlite3_stmt>(raw);
  }

  /// A document's text, to be read in parts.
  SqliteHandle<sqlite3_blob> open_text(std::int64_t document) {
    sqlite3_blob* raw = nullptr;
    const int code = sqlite3_blob_open(get(), "main", "documents", "text", document, 0, &raw);
    SqliteHandle<sqlite3_blob> blob(raw);
    check(code, "cannot be read");
    return blob;
  }

  std::string read_text(sqlite3_blob* blob, std::size_t begin, std::size_t end) {
    std::string out(end - begin, '\0');
    check(sqlite3_blob_read(blob, out.data(), static_cast<int>(out.size()), static_cast<int>(begin)), "cannot be read");
    return out;
  }

  /// Throws the error of graft that belongs to a result code of SQLite.
  void check(int code, std::string_view what) const {
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE)
      throw_sqlite(path_, database_.get(), code, create_, what, wait_);
  }

 private:
  std::filesystem::path path_;
  bool create_;
  std::chrono::milliseconds wait_;
  SqliteHandle<sqlite3> database_;
  std::unordered_map<std::string, SqliteHandle<sqlite3_stmt>> statements_;  // closed before the database
};

/// The rows that a statement gives for some parameters; ?1, ?2 ... in the order of the arguments.
class SqliteRows {
 public:
  /// `sql` is kept by the connection and must not be running already.
  template <class... Parameters>
  SqliteRows(SqliteConnection& connection, const char* sql, const Parameters&... parameters)
      : connection_(&connection), statement_(connection.kept(sql)) {
    (bind(parameters), ...);
  }
  /// `sql` is made for this one time; bind() its parameters.
  SqliteRows(SqliteConnection& connection, const std::string& sql)
      : connection_(&connection), owned_(connection.prepare(sql)), statement_(owned_.get()) {}
  SqliteRows(const SqliteRows&) = delete;
  SqliteRows& operator=(const SqliteRows&) = delete;
  ~SqliteRows() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

  void bind(std::int64_t value) { bound(sqlite3_bind_int64(statement_, ++parameter_, value)); }
  void bind(int value) { bind(static_cast<std::int64_t>(value)); }
  void bind(std::size_t value) { bind(static_cast<std::int64_t>(value)); }
  void bind(double value) { bound(sqlite3_bind_double(statement_, ++parameter_, value)); }
  void bind(std::string_view text) {
    bound(sqlite3_bind_text64(statement_, ++parameter_, text.empty() ? "" : text.data(), text.size(), SQLITE_TRANSIENT,
                              SQLITE_UTF8));
  }
  void bind(const std::string& text) { bind(std::string_view(text)); }
  void bind(const char* text) { bind(std::string_view(text)); }
  /// Not copied: must live as long as this.
  void bind(std::span<const std::byte> bytes) {
    bound(sqlite3_bind_blob64(statement_, ++parameter_, bytes.empty() ? "" : static_cast<const void*>(bytes.data()),
                              bytes.size(), SQLITE_STATIC));
  }

  /// Steps to the next row; false after the last.
  bool next() {
    const int code = sqlite3_step(statement_);
    connection_->check(code, "cannot be read or written");
    return code == SQLITE_ROW;
  }
  /// Runs to the end.
  void run() {
    while (next()) continue;
  }

  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  std::string text(int column) const {
    const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return data ? std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
  }
  std::span<const std::byte> bytes(int column) const {
    const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }
  bool is_blob(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_BLOB; }

 private:
  void bound(int code) { connection_->check(code, "cannot be used"); }

  SqliteConnection* connection_;
  SqliteHandle<sqlite3_stmt> owned_;
  sqlite3_stmt* statement_;
  int parameter_ = 0;
};

}  // namespace graft::detail
