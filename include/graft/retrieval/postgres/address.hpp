#pragma once

#include <libpq-fe.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"

namespace graft::detail {

/// What libpq says, as one line.
inline std::string postgres_reason(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' || c == '\t' ? ' ' : c;
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

/// The error of graft that belongs to one of the server; `state` is its SQLSTATE, empty where the client failed.
[[noreturn]] inline void throw_postgres_error(const std::string& name, bool alive, std::string_view state,
                                              const std::string& reason) {
  const auto is = [&](std::string_view start) { return state.substr(0, start.size()) == start; };
  if (!alive || is("57P0") || is("08"))
    throw FileError(message(name, ": the connection was lost (", reason,
                            "); what was not committed is undone, call read() or write() again"));
  if (is("55P03"))
    throw StateError(message(name, ": another writer holds the store; try again, or raise the option \"wait\""));
  if (is("40"))
    throw StateError(message(name, ": another program has changed the store's tables (", reason, "); try again"));
  if (is("25P02")) throw StateError(message(name, ": has ended by an earlier error; call read() or write() again"));
  if (is("25006"))
    throw FileError(message(name, ": the database is read-only (", reason,
                            "); connect to the primary server, or set default_transaction_read_only to off"));
  if (is("42501")) throw FileError(message(name, ": ", reason, "; ask the owner of the database for the right"));
  if (is("53100"))
    throw FileError(message(name, ": the server's disk is full; nothing was changed, make room and try again"));
  if (is("58") || is("F0"))
    throw FileError(message(name, ": the server's disk failed (", reason, "); nothing was changed, see its log"));
  if (is("XX001") || is("XX002"))
    throw FormatError(message(name, ": is damaged (", reason, "); restore a copy that is whole"));
  if (is("53")) throw FileError(message(name, ": the server has no room left (", reason, "); try again later"));
  if (is("57014")) throw FileError(message(name, ": ", reason, "; nothing was changed"));
  if (is("54")) throw OptionError(message(name, ": ", reason, "; this is more than PostgreSQL takes"));
  if (is("42P01") || is("42703") || is("42704") || is("3F000"))
    throw FormatError(message(name, ": ", reason, "; the store's tables were changed by another program"));
  throw FileError(message(name, ": ", reason, state.empty() ? "" : message(" (", state, ")")));
}

/// Where a server is and how to log in, as libpq's settings. Keeps the password out of every message: what libpq would
/// say of a string that it cannot read, or reads otherwise than it was meant, may hold a part of it.
class PostgresAddress {
 public:
  /// Throws OptionError for a string that libpq does not take.
  explicit PostgresAddress(const std::string& connection) {
    char* reason = nullptr;
    const std::unique_ptr<PQconninfoOption, Free> options(PQconninfoParse(connection.c_str(), &reason));
    PQfreemem(reason);
    const auto refuse = [](std::string_view what) {
      throw OptionError(message("the connection string ", what,
                                "; write \"postgresql://user@host:5432/database\" or \"host=... dbname=...\", in an "
                                "address with %40 for @, %2F for / and %3A for : within a name or password"));
    };
    if (!options || connection.find('\0') != std::string::npos) refuse("cannot be read");
    const bool is_address = connection.starts_with("postgres://") || connection.starts_with("postgresql://");
    for (const PQconninfoOption* option = options.get(); option->keyword; ++option) {
      if (!option->val) continue;
      const std::string keyword = option->keyword, value = option->val;
      if (keyword == "port" && value.find_first_not_of("0123456789,") != std::string::npos)
        refuse("has a port that is no number");
      if (is_address && (keyword == "host" || keyword == "dbname") && value.find('@') != std::string::npos)
        refuse(message("has a ", keyword, " with an @"));
      if (keyword == "dbname" && (value.find('=') != std::string::npos || value.find("://") != std::string::npos))
        refuse("has a dbname that is a connection string itself");
      set(keyword, value);
    }
    set("client_encoding", "UTF8");
    add_default("fallback_application_name", "graft");
  }

  /// Never null but for want of memory.
  PGconn* connect() const {
    std::vector<const char*> keywords, values;
    for (const auto& [keyword, value] : settings_) keywords.push_back(keyword.c_str()), values.push_back(value.c_str());
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    return PQconnectdbParams(keywords.data(), values.data(), 0);
  }

  /// As far as the string says it.
  std::string name() const {
    std::string host = "(default host)", port, database;
    for (const auto& [keyword, value] : settings_) {
      if (keyword == "host") host = value;
      if (keyword == "port") port = ":" + value;
      if (keyword == "dbname") database = "/" + value;
    }
    return "postgresql://" + host + port + database;
  }

  /// Where the connection goes to.
  std::string name_of(PGconn* connection) const {
    return message("postgresql://", PQhost(connection), ":", PQport(connection), "/", PQdb(connection));
  }

 private:
  struct Free {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
  };
  void add_default(const std::string& keyword, const std::string& value) {
    for (const auto& setting : settings_)
      if (setting.first == keyword) return;
    settings_.emplace_back(keyword, value);
  }
  void set(const std::string& keyword, const std::string& value) {
    for (auto& setting : settings_)
      if (setting.first == keyword) {
        setting.second = value;
        return;
      }
    settings_.emplace_back(keyword, value);
  }

  std::vector<std::pair<std::string, std::string>> settings_;
};

}  // namespace graft::detail
