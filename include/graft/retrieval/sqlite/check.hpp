#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "graft/retrieval/sqlite/schema.hpp"

namespace graft::detail {

/// What must be zero in a whole store, and what it means if it is not.
inline constexpr std::pair<const char*, const char*> kInvariants[] = {
    {"SELECT count(*) FROM passages WHERE document NOT IN (SELECT id FROM documents)", "passages without a document"},
    {"SELECT count(*) FROM passages JOIN documents ON documents.id = passages.document WHERE first < 0 OR last <= "
     "first OR "
     "last > length(text)",
     "passages outside their text"},
    {"SELECT count(*) FROM passages WHERE id NOT IN (SELECT id FROM words_docsize)", "passages without words"},
    {"SELECT count(*) FROM words_docsize WHERE id NOT IN (SELECT id FROM passages)", "words without a passage"},
    {"SELECT count(*) FROM sources WHERE document NOT IN (SELECT id FROM documents)", "sources without a document"},
    {"SELECT count(*) FROM attributes WHERE document NOT IN (SELECT id FROM documents)", "metadata without a document"},
    {"SELECT count(*) FROM vectors WHERE passage NOT IN (SELECT id FROM passages)", "vectors without a passage"},
    {"SELECT count(*) FROM vectors WHERE space NOT IN (SELECT id FROM spaces)", "vectors without a model"},
    {"SELECT count(*) FROM vectors JOIN spaces ON spaces.id = vectors.space WHERE typeof(numbers) != 'blob' OR "
     "length(numbers) != 4 * width",
     "vectors of another width than their model's"},
};

/// Reads everything. Throws FormatError, with all that was found wrong, if the store is damaged.
inline void check_store(SqliteConnection& connection) {
  std::string faults;
  {
    SqliteRows rows(connection, std::string("PRAGMA integrity_check(20)"));
    while (rows.next())
      if (const std::string line = rows.text(0); line != "ok") faults += "\n  " + line;
  }
  for (const auto& [sql, meaning] : kInvariants)
    if (const std::int64_t count = pragma(connection, sql); count != 0) faults += message("\n  ", count, " ", meaning);
  if (!faults.empty())
    throw FormatError(message(quoted(connection.name()), ": is damaged; take a copy that is whole:", faults));
  connection.run("BEGIN");
  connection.run("INSERT INTO words(words) VALUES('integrity-check')");  // throws FormatError itself
  connection.run("ROLLBACK");
}

}  // namespace graft::detail
