#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "graft/text/unicode.hpp"

namespace graft::detail {

/// The words of `text` (UTF-8) between spaces, in lower case and without accents, whatever the server's locale. What is
/// left has no sign that means something to PostgreSQL's parser or in a tsquery.
inline std::string plain_words(std::string_view text) {
  const CodePointTable& table = CodePointTable::instance();
  std::string out;
  out.reserve(text.size());
  const auto append_lower = [&](char32_t c) {
    const std::uint16_t flags = table.flags(c);
    if (flags & kMark) return;
    if (!(flags & kWord) || c == '_') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else if (flags & kLowers) {
      for (const std::uint32_t lower : CodePointTable::lower_case(c))
        if (lower != 0 && !(table.flags(lower) & kMark)) append_utf8(out, lower);
    } else {
      append_utf8(out, c);
    }
  };
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    at += step.length;
    if (!(table.flags(step.code_point) & kDecomposes)) {
      append_lower(step.code_point);
      continue;
    }
    for (const std::uint32_t part : CodePointTable::decomposition(step.code_point))
      if (part != 0) append_lower(part);
  }
  return out;
}

/// How many words plain_words() found.
inline std::size_t count_words(std::string_view plain) {
  std::size_t out = 0;
  for (std::size_t at = 0; at < plain.size(); ++at) out += plain[at] != ' ' && (at == 0 || plain[at - 1] == ' ');
  return out;
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
