#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "graft/retrieval/postgres/schema.hpp"

namespace graft::detail {

/// What snapshots and writers need to know of their store's options.
struct PostgresSettings {
  std::string schema;
  std::size_t wait_ms = 0;
  std::size_t document_bytes = 0;
  std::size_t index_above = 0;
  std::size_t links = 0;
  std::size_t ef_construction = 0;
  std::size_t ef_search = 0;
};

/// Connections that nobody uses right now. Snapshots give theirs back, also after the store is gone.
class PostgresPool {
 public:
  PostgresPool(PostgresAddress address, PostgresSettings settings)
      : address_(std::move(address)), settings_(std::move(settings)) {}

  const PostgresSettings& settings() const { return settings_; }

  /// Connects, and makes or checks the store.
  void open(bool create) {
    auto first = std::make_unique<PostgresConnection>(address_, part());
    name_ = first->name();
    open_store(*first, settings_.schema, create, settings_.ef_search);
    give(std::move(first));
  }
  const std::string& name() const { return name_; }

  /// A connection on which `begin` was run. One that was lost while it was idle is replaced.
  std::unique_ptr<PostgresConnection> begin(const std::string& begin) {
    if (std::unique_ptr<PostgresConnection> idle = take_idle()) try {
        idle->run(begin);
        return idle;
      } catch (const FileError&) {
        if (idle->alive()) throw;
        const std::lock_guard lock(mutex_);
        idle_.clear();  // the server was restarted, or the way to it was cut: the others are lost too
      }
    std::unique_ptr<PostgresConnection> fresh = connect();
    fresh->run(begin);
    return fresh;
  }

  std::unique_ptr<PostgresConnection> connect() const {
    auto out = std::make_unique<PostgresConnection>(address_, part());
    set_up_session(*out, settings_.schema, settings_.ef_search);
    return out;
  }

  void give(std::unique_ptr<PostgresConnection> connection) noexcept {
    if (!connection->alive() || !connection->idle()) return;
    const std::lock_guard lock(mutex_);
    if (idle_.size() < 8) idle_.push_back(std::move(connection));
  }

 private:
  std::string part() const { return "schema " + quoted(settings_.schema); }
  std::unique_ptr<PostgresConnection> take_idle() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    std::unique_ptr<PostgresConnection> out = std::move(idle_.back());
    idle_.pop_back();
    return out;
  }

  PostgresAddress address_;
  PostgresSettings settings_;
  std::string name_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<PostgresConnection>> idle_;
};

}  // namespace graft::detail
