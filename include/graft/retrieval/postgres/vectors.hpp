#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/retrieval/detail/top_k.hpp"
#include "graft/retrieval/document.hpp"
#include "graft/retrieval/postgres/pool.hpp"

namespace graft::detail {

/// pgvector's distance under a metric, and the class of operators that its index is made with.
inline std::string_view distance_operator(Metric metric) {
  return metric == Metric::cosine ? "<=>" : metric == Metric::inner_product ? "<#>" : "<->";
}
inline std::string_view operator_class(Metric metric) {
  return metric == Metric::cosine          ? "vector_cosine_ops"
         : metric == Metric::inner_product ? "vector_ip_ops"
                                           : "vector_l2_ops";
}

/// What graft calls a score: 1 - d, minus the negated product, minus the squared distance.
inline double score_of(Metric metric, double distance) {
  return metric == Metric::cosine ? 1 - distance : metric == Metric::inner_product ? -distance : -distance * distance;
}

/// Adds vectors [ids.size(), width] by PostgreSQL's binary COPY: a signature, two zeros, rows of sized fields, an end.
inline void copy_vectors(PostgresConnection& connection, const std::string& table, std::span<const PassageId> ids,
                         std::span<const float> vectors, std::size_t width) {
  constexpr std::size_t kPart = 1 << 20;
  std::vector<std::string> parts(1, std::string("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (parts.back().size() > kPart) parts.emplace_back();
    std::string& out = parts.back();
    put_integer(out, std::int16_t{2});
    put_integer(out, std::int32_t{8});
    put_integer(out, ids[i]);
    put_integer(out, static_cast<std::int32_t>(4 + 4 * width));
    put_vector(out, vectors.subspan(i * width, width));
  }
  put_integer(parts.back(), std::int16_t{-1});
  connection.copy_in("COPY " + table + "(passage, numbers) FROM STDIN (FORMAT binary)", parts);
}

/// Whether the table has its graph: an index that the server keeps up to date.
inline bool has_graph(PostgresConnection& connection, const std::string& table) {
  return !connection.rows("SELECT to_regclass($1)::text", table + "_graph").is_null(0, 0);
}

/// Builds the graph of a table that has many vectors and none yet.
inline void make_graph(PostgresConnection& connection, const std::string& table, Metric metric,
                       const PostgresSettings& settings) {
  if (has_graph(connection, table)) return;
  const std::int64_t count = connection.once("SELECT count(*) FROM " + table).integer(0, 0);
  if (static_cast<std::size_t>(count) <= settings.index_above) return;
  connection.run(message("CREATE INDEX ", table, "_graph ON ", table, " USING hnsw (numbers ", operator_class(metric),
                         ") WITH (m = ", settings.links, ", ef_construction = ", settings.ef_construction, ")"));
}

/// The rows of `table` for which `condition` holds, nearest to the vector $1 first. The server walks its graph, if
/// there is one and it thinks that this pays, until enough have passed the condition. A walk that ends with fewer than
/// k is no proof that there are no more: then all that may be found are compared.
inline std::vector<Scored> nearest(PostgresConnection& connection, const std::string& table, Metric metric,
                                   const std::string& condition, PostgresParameters parameters, std::size_t k) {
  parameters.add(std::min<std::size_t>(k, INT64_MAX));
  const std::string distance = message("numbers ", distance_operator(metric), " $1::vector");
  const std::string limit = message(" LIMIT $", parameters.count());
  PostgresRows rows = connection.once(
      message("SELECT passage, ", distance, " FROM ", table, " WHERE ", condition, " ORDER BY ", distance, limit),
      parameters);
  const bool walked = rows.size() < k && has_graph(connection, table);
  if (walked)
    rows = connection.once(message("WITH every AS MATERIALIZED (SELECT passage, ", distance, " AS d FROM ", table,
                                   " WHERE ", condition, ") SELECT passage, d FROM every ORDER BY d, passage", limit),
                           parameters);
  std::vector<Scored> out;
  for (std::size_t row = 0; row < rows.size(); ++row)
    out.push_back({rows.integer(row, 0), score_of(metric, rows.real(row, 1))});
  std::sort(out.begin(), out.end(), before);
  return out;
}

}  // namespace graft::detail
