#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "graft/core/mode.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

namespace detail {
class SqlitePool;
}

struct SqliteStoreOptions {
  bool create = true;                      ///< make the file if it is not there; false: that is an error
  std::chrono::milliseconds wait{10'000};  ///< how long write() waits for another writer
  std::size_t document_bytes = 64 << 20;   ///< the longest text that put() takes, at most 900 MiB
};

/// A store in one SQLite file, beside which SQLite keeps its log in `<file>-wal` and `<file>-shm`. Do not part them,
/// and do not put them on a network file system.
///
/// One process writes while any number read, each on its own snapshot. A file is untrusted: it is refused unless its
/// tables are exactly those of a store, and nothing in it is run. A file that an older version wrote is brought up to
/// date by the first opening; one that a newer version wrote is refused.
class SqliteStore : public Store {
 public:
  /// Opens or creates the file. Throws FileError if that cannot be done, FormatError for a file that is no store, is
  /// cut short, or comes from a newer version.
  explicit SqliteStore(std::filesystem::path path, SqliteStoreOptions options = {});
  GRAFT_INLINE ~SqliteStore() override;

  const std::filesystem::path& path() const { return path_; }
  std::string name() const override { return path_.string(); }

  GRAFT_INLINE void check_document(const Document& document) const override;
  GRAFT_INLINE std::unique_ptr<Snapshot> read() override;
  GRAFT_INLINE std::unique_ptr<Writer> write() override;

  /// SQLite's integrity check, and graft's own: offsets within texts, vectors as wide as their space says.
  GRAFT_INLINE void check() override;

 private:
  std::filesystem::path path_;
  std::shared_ptr<detail::SqlitePool> pool_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/sqlite_store-inl.hpp"
#endif
