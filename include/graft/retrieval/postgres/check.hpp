#pragma once

#include <string>
#include <utility>

#include "graft/retrieval/postgres/reading.hpp"

namespace graft::detail {

/// What must be zero in a whole store, and what it means if it is not.
inline constexpr std::pair<const char*, const char*> kPostgresInvariants[] = {
    {"SELECT count(*) FROM passages p WHERE NOT EXISTS (SELECT 1 FROM documents WHERE id = p.document)",
     "passages without a document"},
    {"SELECT count(*) FROM passages p JOIN documents d ON d.id = p.document "
     "WHERE first < 0 OR last <= first OR last > octet_length(text)",
     "passages outside their text"},
    {"SELECT count(*) FROM attributes a WHERE NOT EXISTS (SELECT 1 FROM documents WHERE id = a.document)",
     "metadata without a document"},
    {"SELECT count(*) FROM store s WHERE NOT EXISTS (SELECT 1 FROM history WHERE generation = s.generation)",
     "generations without a stamp"},
    {"SELECT count(*) FROM store WHERE next_document <= (SELECT max(id) FROM documents) OR next_passage <= (SELECT "
     "max(id) FROM passages) OR next_space <= (SELECT max(id) FROM spaces)",
     "counters below the ids that were given"},
    {"SELECT count(*) FROM store WHERE passages <> (SELECT count(*) FROM passages) OR "
     "words <> (SELECT coalesce(sum(length), 0) FROM passages)",
     "totals of passages and words that are not theirs"},
};

/// Reads everything within the transaction of `connection`. Throws FormatError, with all that was found wrong, if the
/// store is damaged.
inline void check_store(PostgresConnection& connection) {
  std::string faults;
  const auto expect_none = [&](const std::string& sql, std::string_view meaning) {
    const std::int64_t count = connection.once(sql).integer(0, 0);
    if (count != 0) faults += message("\n  ", count, " ", meaning);
  };
  for (const auto& [sql, meaning] : kPostgresInvariants) expect_none(sql, meaning);
  const PostgresRows spaces =
      connection.once("SELECT id, width, to_regclass('vectors_' || id) IS NULL FROM spaces ORDER BY id");
  for (std::size_t row = 0; row < spaces.size(); ++row) {
    const std::string table = vectors_table(spaces.integer(row, 0));
    if (spaces.truth(row, 2)) {
      faults += message("\n  ", table, ", a table of vectors, is not there");
      continue;
    }
    expect_none("SELECT count(*) FROM " + table + " v WHERE NOT EXISTS (SELECT 1 FROM passages WHERE id = v.passage)",
                "vectors without a passage");
    expect_none(message("SELECT count(*) FROM ", table, " WHERE vector_dims(numbers) <> ", spaces.integer(row, 1)),
                "vectors of another width than their model's");
  }
  if (!faults.empty())
    throw FormatError(message(connection.name(), ": is damaged; take a copy that is whole:", faults));
}

}  // namespace graft::detail
