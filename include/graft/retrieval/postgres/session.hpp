#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/retrieval/detail/store_errors.hpp"
#include "graft/retrieval/postgres/pool.hpp"
#include "graft/retrieval/store.hpp"

namespace graft::detail {

/// Whether PostgreSQL can hold `text` at all: nothing that it cannot hold is in a store.
inline bool is_postgres_text(std::string_view text) {
  return is_utf8(text) && text.find('\0') == std::string_view::npos;
}

inline std::string vectors_table(std::int64_t space) { return message("vectors_", space); }

/// A connection within one transaction, and what both reading and writing ask of it. The transaction is undone at the
/// end unless it was committed.
class PostgresSession {
 public:
  PostgresSession(std::shared_ptr<PostgresPool> pool, const std::string& begin)
      : pool_(std::move(pool)), held_(pool_->begin(begin)) {}
  ~PostgresSession() { end(); }
  PostgresSession(const PostgresSession&) = delete;
  PostgresSession& operator=(const PostgresSession&) = delete;

  PostgresConnection& db() const { return *held_; }
  const PostgresSettings& settings() const { return pool_->settings(); }
  PostgresPool& pool() const { return *pool_; }

  std::int64_t count(const char* sql) { return db().rows(sql).integer(0, 0); }

  /// 0 if the store does not have it. Throws OptionError if it has the model with another width or metric.
  std::int64_t space_id(const VectorSpace& space) {
    if (!is_postgres_text(space.model)) return 0;
    const PostgresRows rows = db().rows("SELECT id, width, metric FROM spaces WHERE model = $1", space.model);
    if (rows.empty()) return 0;
    check_same_space(db().name(), stored_space(db().name(), space.model, rows.integer(0, 1), rows.text(0, 2)), space);
    return rows.integer(0, 0);
  }

  /// From the columns id, document, place, first, last, heading, length of the text, bytes of the passage.
  Passage passage(const PostgresRows& rows, std::size_t row) const {
    Passage out;
    out.id = rows.integer(row, 0);
    out.document = rows.integer(row, 1);
    out.order = rows.integer(row, 2);
    out.range = stored_range(db().name(), out.id, rows.integer(row, 3), rows.integer(row, 4), rows.text(row, 5));
    if (rows.is_null(row, 6)) no_document_of(db().name(), out);
    check_inside(db().name(), out, rows.integer(row, 6));
    out.text = rows.text(row, 7);
    return out;
  }

  /// From the columns id, uri, hash, modified, cutting, metadata, length of the text, number of passages,
  /// source.
  StoredDocument document(const PostgresRows& rows, std::size_t row) const {
    StoredDocument out;
    out.id = rows.integer(row, 0);
    out.uri = rows.text(row, 1);
    out.hash = rows.text(row, 2);
    out.modified = rows.integer(row, 3);
    out.cutting = rows.text(row, 4);
    out.metadata = parse_json(rows.text(row, 5), message(db().name(), ", metadata of document ", out.id));
    out.bytes = static_cast<std::size_t>(rows.integer(row, 6));
    out.passages = static_cast<std::size_t>(rows.integer(row, 7));
    out.source = rows.text(row, 8);
    return out;
  }

  /// Writes a pgvector value to `to` [width].
  void read_vector(std::string_view bytes, PassageId passage, const VectorSpace& space, float* to) const {
    const auto width = static_cast<std::size_t>(space.width);
    if (bytes.size() != 4 + 4 * width || get_integer<std::uint16_t>(bytes.data()) != width)
      throw FormatError(message(db().name(), ": the vector of passage ", passage, " has ", bytes.size(), " bytes, but ",
                                quoted(space.model), " needs ", 4 + 4 * width));
    for (std::size_t c = 0; c < width; ++c)
      to[c] = std::bit_cast<float>(get_integer<std::uint32_t>(bytes.data() + 4 + 4 * c));
  }

 protected:
  /// Gives the connection back, if it is still there.
  void end() noexcept {
    if (!held_) return;
    held_->forget();
    if (held_->alive() && !held_->idle()) PQclear(PQexec(held_->get(), "ROLLBACK"));
    pool_->give(std::move(held_));
  }
  /// Puts another connection in the place of one that was lost.
  void replace(std::unique_ptr<PostgresConnection> connection) { held_ = std::move(connection); }

 private:
  std::shared_ptr<PostgresPool> pool_;
  std::unique_ptr<PostgresConnection> held_;
};

}  // namespace graft::detail
