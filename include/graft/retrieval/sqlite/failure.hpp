#pragma once

#include <sqlite3.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>

#include "graft/core/error.hpp"
#include "graft/core/file.hpp"

namespace graft::detail {

/// What the system last answered to a read or write of the database, its log or its journal; 0 if that is not known.
inline int last_errno(sqlite3* database) {
  int code = 0;
  sqlite3_file* beside = nullptr;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_LAST_ERRNO, &code);
  if (code == 0) sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &beside);
  if (beside && beside->pMethods) beside->pMethods->xFileControl(beside, SQLITE_FCNTL_LAST_ERRNO, &code);
  return code;
}

/// What is wrong with the medium that holds `path`: EROFS, ENOSPC, or 0 if it takes files.
inline int medium_fault(const std::filesystem::path& path) {
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  struct statvfs medium {};
  if (::statvfs(directory.c_str(), &medium) != 0) return 0;
  if ((medium.f_flag & ST_RDONLY) != 0) return EROFS;
  const bool full = medium.f_bavail == 0 || (medium.f_files > 0 && medium.f_favail == 0);
  return full ? ENOSPC : 0;
}

/// Why SQLite finds `path` read-only; it keeps only that it is.
inline std::string read_only_reason(const std::filesystem::path& path, int code) {
  if (code == SQLITE_READONLY_DBMOVED) return "the file was moved or deleted while it was open; open it again";
  if (medium_fault(path) == EROFS) return system_reason(EROFS);
  if (::access(path.c_str(), W_OK) != 0)
    return errno == EACCES ? "you may not; check the permissions of the file" : system_reason(errno);
  return "check the permissions of its directory and of the files beside it, " +
         quoted(path.filename().string() + "-wal") + " and " + quoted(path.filename().string() + "-shm");
}

/// Why a file cannot be opened. SQLite tries in several ways, and keeps what the system said to the last.
inline std::string open_reason(const std::filesystem::path& path, int code, bool create, int system) {
  std::error_code ignored;
  if (code == SQLITE_CANTOPEN_ISDIR || std::filesystem::is_directory(path, ignored))
    return "it is a directory; give the path of a file";
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::exists(directory, ignored) && !ignored)
    return "its directory is not there; make it or check the path";
  const bool is_there = std::filesystem::exists(path, ignored);
  if (!is_there && !ignored && !create) return "there is no such file; check the path";
  if (const int fault = medium_fault(path); fault != 0) return system_reason(fault);
  if (system == EACCES || system == EPERM || ::access(is_there ? path.c_str() : directory.c_str(), W_OK) != 0)
    return "you may not; check the permissions of the file and of its directory";
  return system == 0 || system == ENOENT ? "the system refused it; check the disk and try again"
                                         : system_reason(system);
}

/// What was being done when an I/O error came.
inline std::string_view failed_action(int code) {
  switch (code) {
    case SQLITE_IOERR_READ:
    case SQLITE_IOERR_SHORT_READ:
    case SQLITE_IOERR_FSTAT:
      return "cannot be read";
    case SQLITE_IOERR_LOCK:
    case SQLITE_IOERR_RDLOCK:
    case SQLITE_IOERR_UNLOCK:
    case SQLITE_IOERR_CHECKRESERVEDLOCK:
    case SQLITE_IOERR_SHMLOCK:
      return "cannot be locked (is it on a network file system?)";
    default:
      return "cannot be written";
  }
}

/// What an I/O error came from. That of a file which is closed again is lost; then the medium is asked.
inline int io_errno(const std::filesystem::path& path, sqlite3* database) {
  for (const int code : {database ? last_errno(database) : 0, medium_fault(path)})
    if (code != 0) return code;
  const int code = database ? sqlite3_system_errno(database) : 0;
  return code == 0 || code == ENOENT ? EIO : code;
}

/// Throws the error of graft that belongs to a result code of SQLite. `database` may be null, `create` is how it was
/// opened, `wait` how long was waited for another writer.
[[noreturn]] inline void throw_sqlite(const std::filesystem::path& path, sqlite3* database, int code, bool create,
                                      std::string_view what, std::chrono::milliseconds wait) {
  const std::string reason = database ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  const std::string name = quoted(path.string(), 4096);
  switch (code & 0xff) {
    case SQLITE_NOMEM:
      throw std::bad_alloc();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      throw StateError(message(name, ": another writer has held the store for ", wait.count(),
                               " ms; try again, or raise the option \"wait\""));
    case SQLITE_NOTADB:
      throw FormatError(message(name, ": is not an SQLite file; give the path of a store"));
    case SQLITE_CORRUPT:  // also where the system could not read it
      if (database && last_errno(database) == EIO)
        throw FileError(message(name, ": cannot be read: ", system_reason(EIO)));
      throw FormatError(message(name, ": is damaged or cut short (", reason, "); take a copy that is whole"));
    case SQLITE_FULL:
      throw FileError(message(name, ": cannot be written: ", system_reason(ENOSPC)));
    case SQLITE_READONLY:
      throw FileError(message(name, ": cannot be written: ", read_only_reason(path, code)));
    case SQLITE_CANTOPEN:
      throw FileError(message(name, ": cannot be opened: ",
                              open_reason(path, code, create, database ? sqlite3_system_errno(database) : 0)));
    case SQLITE_IOERR:
      throw FileError(message(name, ": ", failed_action(code), ": ", system_reason(io_errno(path, database))));
    case SQLITE_PERM:
      throw FileError(message(name, ": ", what, ": ", open_reason(path, code, create, EACCES)));
    case SQLITE_ERROR:
      if (reason.find("parser stack overflow") != reason.npos || reason.find("Expression tree") != reason.npos)
        throw OptionError(message(name, ": the filter is too deep for SQLite (", reason,
                                  "); ask with fewer \"and\", \"or\" and \"not\" within each other"));
      throw FileError(message(name, ": ", what, " (", reason, ")"));
    case SQLITE_TOOBIG:
      throw OptionError(message(name, ": a text is too long for SQLite; split it"));
    default:
      throw FileError(message(name, ": ", what, " (", reason, ")"));
  }
}

}  // namespace graft::detail
