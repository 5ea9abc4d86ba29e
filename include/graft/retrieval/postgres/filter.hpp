#pragma once

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "graft/retrieval/detail/metadata.hpp"
#include "graft/retrieval/filter.hpp"
#include "graft/retrieval/postgres/connection.hpp"

namespace graft::detail {

/// A number as decimal digits for `numeric`, such that numbers compare there as they do in arithmetic: whole numbers
/// beyond 2^53 exactly, others as the shortest digits that name them, which keep the order.
inline std::string number_text(const FilterValue& value) {
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "1" : "0";
  char digits[512];
  if (const auto* whole = std::get_if<std::int64_t>(&value))
    return {digits, std::to_chars(digits, digits + sizeof digits, *whole).ptr};
  const double number = std::get<double>(value);
  const auto end = std::abs(number) < 9007199254740992.0
                       ? std::to_chars(digits, digits + sizeof digits, number)
                       : std::to_chars(digits, digits + sizeof digits, number, std::chars_format::fixed, 0);
  return {digits, end.ptr};
}

/// What the indexes of `attributes` see of a long key or text: its first 256 bytes.
inline std::string_view indexed_part(std::string_view bytes) { return bytes.substr(0, 256); }

/// Puts a condition on the column `document` together. Fields and values are parameters alone.
class PostgresFilter {
 public:
  explicit PostgresFilter(PostgresParameters& parameters) : parameters_(parameters) {}

  std::string condition(const Filter& filter) {
    switch (filter.kind()) {
      case Filter::Kind::equal:
        return comparison(filter, "=", "=");
      case Filter::Kind::less:
        return comparison(filter, "<", "<=");
      case Filter::Kind::at_most:
        return comparison(filter, "<=", "<=");
      case Filter::Kind::greater:
        return comparison(filter, ">", ">=");
      case Filter::Kind::at_least:
        return comparison(filter, ">=", ">=");
      case Filter::Kind::one_of:
        return one_of(filter);
      case Filter::Kind::exists:
        return among(filter, "true");
      case Filter::Kind::negation:
        return "NOT " + parts(filter, "");
      case Filter::Kind::all:
        return parts(filter, " AND ");
      case Filter::Kind::any:
        break;
    }
    return parts(filter, " OR ");
  }

 private:
  std::string parameter() const { return message("$", parameters_.count()); }
  std::string bytes(std::string_view value) {
    parameters_.add(std::as_bytes(std::span(value)));
    return parameter();
  }

  std::string parts(const Filter& filter, std::string_view word) {
    std::string out = "(";
    for (std::size_t i = 0; i < filter.parts().size(); ++i) {
      if (i > 0) out += word;
      out += condition(filter.parts()[i]);
    }
    return out + ")";
  }

  std::string among(const Filter& filter, const std::string& holds) {
    const std::string start = bytes(indexed_part(filter.field()));
    std::string out = "document IN (SELECT a.document FROM attributes a WHERE substring(a.key, 1, 256) = " + start;
    if (filter.field().size() >= 256) out += " AND a.key = " + bytes(filter.field());
    return out + " AND (" + holds + "))";
  }

  /// A text compares as `loose` in its first bytes wherever it compares as `sign` as a whole.
  std::string comparison(const Filter& filter, std::string_view sign, std::string_view loose) {
    const FilterValue& value = filter.values()[0];
    if (const auto* text = std::get_if<std::string>(&value)) {
      const std::string start = bytes(indexed_part(*text)), all = bytes(*text);
      return among(filter, message("a.kind = 2 AND substring(a.text, 1, 256) ", loose, " ", start, " AND a.text ", sign,
                                   " ", all));
    }
    parameters_.add(number_text(value));
    return among(filter, message("a.kind < 2 AND a.kind = ", value_kind(value), " AND a.number ", sign, " (",
                                 parameter(), "::text)::numeric"));
  }

  std::string one_of(const Filter& filter) {
    std::string out = "false";
    for (const int kind : {0, 1}) {
      std::vector<std::string> numbers;
      for (const FilterValue& value : filter.values())
        if (value_kind(value) == kind) numbers.push_back(number_text(value));
      if (numbers.empty()) continue;
      parameters_.add_numbers(numbers);
      out += message(" OR a.kind < 2 AND a.kind = ", kind, " AND a.number = ANY (", parameter(), ")");
    }
    std::vector<std::string> texts, starts;
    for (const FilterValue& value : filter.values())
      if (const auto* text = std::get_if<std::string>(&value)) {
        texts.push_back(*text);
        starts.emplace_back(indexed_part(*text));
      }
    if (!texts.empty()) {
      parameters_.add_bytes(starts);
      const std::string start = parameter();
      parameters_.add_bytes(texts);
      out +=
          " OR a.kind = 2 AND substring(a.text, 1, 256) = ANY (" + start + ") AND a.text = ANY (" + parameter() + ")";
    }
    return among(filter, out);
  }

  PostgresParameters& parameters_;
};

}  // namespace graft::detail
