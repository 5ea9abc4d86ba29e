#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "graft/retrieval/sqlite/connection.hpp"

namespace graft::detail {

/// Connections that nobody uses right now. Snapshots give theirs back, also after the store is gone.
class SqlitePool {
 public:
  SqlitePool(std::filesystem::path path, std::chrono::milliseconds wait, std::size_t document_bytes)
      : path_(std::move(path)), wait_(wait), document_bytes_(document_bytes) {}

  /// The longest text that a document of the store may have.
  std::size_t document_bytes() const { return document_bytes_; }

  std::unique_ptr<SqliteConnection> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<SqliteConnection> out = std::move(idle_.back());
        idle_.pop_back();
        return out;
      }
    }
    return std::make_unique<SqliteConnection>(path_, false, wait_);
  }

  void give(std::unique_ptr<SqliteConnection> connection) noexcept {
    if (sqlite3_get_autocommit(connection->get()) == 0) return;  // could not be rolled back: closed instead
    const std::lock_guard lock(mutex_);
    if (idle_.size() < 16) idle_.push_back(std::move(connection));
  }

 private:
  std::filesystem::path path_;
  std::chrono::milliseconds wait_;
  std::size_t document_bytes_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SqliteConnection>> idle_;
};

}  // namespace graft::detail
