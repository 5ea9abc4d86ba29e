#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "graft/retrieval/detail/store_errors.hpp"
#include "graft/retrieval/document.hpp"
#include "graft/retrieval/sqlite/connection.hpp"
#include "graft/retrieval/word_line.hpp"

namespace graft::detail {

/// The words of a question as an FTS5 expression: each a quoted string, so that none is an operator, joined by OR.
inline std::string word_query(std::string_view question) {
  const std::string line = word_line(question);
  std::set<std::string_view> words;
  std::string out;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    const std::string_view word = std::string_view(line).substr(at, end - at);
    if (words.insert(word).second) out.append(out.empty() ? "\"" : " OR \"").append(word).append("\"");
    at = end + 1;
  }
  return out;
}

inline void put_words(SqliteConnection& db, PassageId id, std::string_view heading, std::string_view text) {
  SqliteRows(db, "INSERT INTO words(rowid, text) VALUES(?1, ?2)", id, word_line(searchable(heading, text))).run();
}

/// The word index keeps no text: it is told again what it was given, to take it out.
inline void remove_words(SqliteConnection& db, const Passage& passage) {
  SqliteRows(db, "INSERT INTO words(words, rowid, text) VALUES('delete', ?1, ?2)", passage.id,
             word_line(searchable(passage.range.heading, passage.text)))
      .run();
}

/// Fills an empty word index from the passages.
inline void index_words(SqliteConnection& db) {
  SqliteHandle<sqlite3_blob> blob;
  DocumentId open = 0;
  SqliteRows rows(db, "SELECT id, document, first, last, heading FROM passages ORDER BY document, place");
  while (rows.next()) {
    Passage passage{};
    passage.id = rows.integer(0);
    passage.document = rows.integer(1);
    passage.range = stored_range(db.name(), passage.id, rows.integer(2), rows.integer(3), rows.text(4));
    if (open != passage.document) {
      open = passage.document;
      blob = db.open_text(open);
    }
    check_inside(db.name(), passage, sqlite3_blob_bytes(blob.get()));
    put_words(db, passage.id, passage.range.heading, db.read_text(blob.get(), passage.range.begin, passage.range.end));
  }
}

}  // namespace graft::detail
