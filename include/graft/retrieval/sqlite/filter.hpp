#pragma once

#include <string>
#include <vector>

#include "graft/retrieval/detail/metadata.hpp"
#include "graft/retrieval/filter.hpp"
#include "graft/retrieval/sqlite/connection.hpp"

namespace graft::detail {

/// A condition on the column `document`. Fields and values of the filter are in `parameters` alone, in order.
struct FilterSql {
  std::string condition;
  std::vector<FilterValue> parameters;

  void bind_to(SqliteRows& rows) const {
    for (const FilterValue& value : parameters) {
      if (const auto* text = std::get_if<std::string>(&value)) rows.bind(*text);
      if (const auto* whole = std::get_if<std::int64_t>(&value)) rows.bind(*whole);
      if (const auto* real = std::get_if<double>(&value)) rows.bind(*real);
      if (const auto* truth = std::get_if<bool>(&value)) rows.bind(static_cast<std::int64_t>(*truth));
    }
  }
};

inline void add_filter(const Filter& filter, FilterSql& out);

inline void add_parts(const Filter& filter, const char* word, FilterSql& out) {
  out.condition += '(';
  for (std::size_t i = 0; i < filter.parts().size(); ++i) {
    if (i > 0) out.condition += word;
    add_filter(filter.parts()[i], out);
  }
  out.condition += ')';
}

inline void add_comparison(const Filter& filter, const char* sign, FilterSql& out) {
  out.condition += "document IN (SELECT document FROM attributes WHERE key = ? AND kind = ? AND value ";
  out.condition += sign;
  out.condition += " ?)";
  out.parameters.emplace_back(filter.field());
  out.parameters.emplace_back(static_cast<std::int64_t>(value_kind(filter.values()[0])));
  out.parameters.push_back(filter.values()[0]);
}

inline void add_one_of(const Filter& filter, FilterSql& out) {
  out.condition += "document IN (SELECT document FROM attributes WHERE key = ? AND (0";
  out.parameters.emplace_back(filter.field());
  for (const int kind : {0, 1, 2}) {
    std::size_t count = 0;
    for (const FilterValue& value : filter.values()) {
      if (value_kind(value) != kind) continue;
      out.condition += count++ == 0 ? " OR (kind = ? AND value IN (?" : ",?";
      if (count == 1) out.parameters.emplace_back(static_cast<std::int64_t>(kind));
      out.parameters.push_back(value);
    }
    if (count > 0) out.condition += "))";
  }
  out.condition += "))";
}

inline void add_filter(const Filter& filter, FilterSql& out) {
  switch (filter.kind()) {
    case Filter::Kind::equal:
      return add_comparison(filter, "=", out);
    case Filter::Kind::less:
      return add_comparison(filter, "<", out);
    case Filter::Kind::at_most:
      return add_comparison(filter, "<=", out);
    case Filter::Kind::greater:
      return add_comparison(filter, ">", out);
    case Filter::Kind::at_least:
      return add_comparison(filter, ">=", out);
    case Filter::Kind::one_of:
      return add_one_of(filter, out);
    case Filter::Kind::all:
      return add_parts(filter, " AND ", out);
    case Filter::Kind::any:
      return add_parts(filter, " OR ", out);
    case Filter::Kind::negation:
      out.condition += "NOT ";
      return add_parts(filter, "", out);
    case Filter::Kind::exists:
      out.condition += "document IN (SELECT document FROM attributes WHERE key = ?)";
      out.parameters.emplace_back(filter.field());
  }
}

/// Throws OptionError for a filter that SQLite does not take: above 30000 fields and values, or 300 parts in a row.
inline FilterSql filter_sql(const Filter& filter) {
  FilterSql out;
  add_filter(filter, out);
  if (out.parameters.size() > 30000)
    throw OptionError(message("a filter has ", out.parameters.size(), " fields and values; a store takes 30000"));
  return out;
}

}  // namespace graft::detail
