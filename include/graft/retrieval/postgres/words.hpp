#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graft/retrieval/document.hpp"
#include "graft/retrieval/postgres/connection.hpp"
#include "graft/retrieval/word_line.hpp"

namespace graft::detail {

/// How many words are in a line of word_line().
inline std::int64_t count_words(std::string_view line) {
  return line.empty() ? 0 : 1 + std::count(line.begin(), line.end(), ' ');
}

/// Makes the words of all passages anew, and their total.
inline void index_words(PostgresConnection& connection) {
  constexpr int kTogether = 1000;
  for (PassageId after = 0;;) {
    const PostgresRows rows = connection.once(
        "SELECT p.id, heading, substring(text, first::int + 1, (last - first)::int) FROM passages p JOIN documents d "
        "ON d.id = p.document WHERE p.id > $1 ORDER BY p.id LIMIT $2",
        PostgresParameters(after, kTogether));
    if (rows.empty()) break;
    std::vector<PassageId> ids;
    std::vector<std::int64_t> lengths;
    std::vector<std::string> words;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      ids.push_back(rows.integer(row, 0));
      words.push_back(word_line(searchable(rows.text(row, 1), rows.text(row, 2))));
      lengths.push_back(count_words(words.back()));
    }
    after = ids.back();
    PostgresParameters parameters(ids, lengths);
    parameters.add_texts(words);
    connection.once(
        "UPDATE passages SET length = given.length, words = to_tsvector('words', given.words) "
        "FROM unnest($1, $2, $3) AS given(id, length, words) WHERE passages.id = given.id",
        parameters);
  }
  connection.run("UPDATE store SET words = (SELECT coalesce(sum(length), 0) FROM passages)");
}

/// The $2 passages with the largest sum of
///   max(ln((N - n + 1/2) / (n + 1/2)), 1e-6) f (k + 1) / (f + k (1 - b + b length / mean length)),   k = 1.2, b = 0.75
/// over the words of $1, n of the store's $3 passages holding the word and one of them f times; $4 words in all: BM25
/// as SQLite reckons it. The cover density of one word, all weights 1, is the number of its occurrences (up to 255).
/// Columns: passage, score. Source: Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009.
inline std::string word_search(const std::string& condition) {
  return "WITH asked AS MATERIALIZED (SELECT quote_literal(lexeme)::tsquery AS word "
         "FROM unnest(to_tsvector('words', $1))), "
         "found AS MATERIALIZED (SELECT word, id, document, length, "
         "ts_rank_cd('{1,1,1,1}', words, word)::float8 AS f FROM asked JOIN passages ON words @@ word), "
         "weights AS MATERIALIZED (SELECT word, "
         "greatest(ln(($3 - count(*) + 0.5)::float8 / (count(*) + 0.5)::float8), 1e-6) AS weight "
         "FROM found GROUP BY word) "
         "SELECT id, sum(weight * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * length * $3 / $4::float8))) AS score "
         "FROM found JOIN weights USING (word) WHERE " +
         condition + " GROUP BY id ORDER BY score DESC, id LIMIT $2";
}

}  // namespace graft::detail
