#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
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

/// How many filters lie within each other, this one included.
inline std::size_t depth_of(const Filter& filter) {
  std::size_t depth = 0;
  for (const Filter& part : filter.parts()) depth = std::max(depth, depth_of(part));
  return depth + 1;
}

inline void add_filter(const Filter& filter, FilterSql& out);

/// SQLite's parser has places for a hundred things that are begun, and an expression may be a thousand high. So the
/// deepest part comes first, where a level takes one place, and parts come in groups.
inline void add_parts(const Filter& filter, const char* word, FilterSql& out) {
  constexpr std::size_t group = 100;
  std::vector<std::pair<std::size_t, const Filter*>> parts;
  for (const Filter& part : filter.parts()) parts.emplace_back(depth_of(part), &part);
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const bool is_grouped = parts.size() > group, is_any = filter.kind() == Filter::Kind::any;
  if (is_grouped) out.condition += '(';
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Filter& part = *parts[i].second;
    if (i > 0) out.condition += is_grouped && i % group == 0 ? message(')', word, '(') : word;
    const bool binds = part.parts().size() <= 1 || (is_any && part.kind() == Filter::Kind::all);
    if (!binds) out.condition += '(';
    add_filter(part, out);
    if (!binds) out.condition += ')';
  }
  if (is_grouped) out.condition += ')';
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
  std::string values;
  for (const int kind : {0, 1, 2}) {
    std::size_t count = 0;
    for (const FilterValue& value : filter.values()) {
      if (value_kind(value) != kind) continue;
      values += count++ > 0 ? ",?" : values.empty() ? "value IN (?" : " OR value IN (?";
      out.parameters.push_back(value);
    }
    if (count == 0) continue;
    values += ") AND kind = ?";
    out.parameters.emplace_back(static_cast<std::int64_t>(kind));
  }
  out.condition +=
      message("document IN (SELECT document FROM attributes WHERE (", values.empty() ? "0" : values, ") AND key = ?)");
  out.parameters.emplace_back(filter.field());
}

/// A condition that holds together but for AND and OR between its parts.
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
      out.condition += '(';
      add_filter(filter.parts()[0], out);
      out.condition += ")=0";
      return;
    case Filter::Kind::exists:
      out.condition += "document IN (SELECT document FROM attributes WHERE key = ?)";
      out.parameters.emplace_back(filter.field());
  }
}

/// Throws OptionError for more than 30000 fields and values.
inline FilterSql filter_sql(const Filter& filter) {
  FilterSql out;
  out.condition = '(';
  add_filter(filter, out);
  out.condition += ')';
  if (out.parameters.size() > 30000)
    throw OptionError(message("a filter has ", out.parameters.size(), " fields and values; a store takes 30000"));
  return out;
}

}  // namespace graft::detail
