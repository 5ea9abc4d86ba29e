#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// What a field of a document's metadata is compared with. Numbers compare with numbers, whole or not; text with text,
/// byte by byte; true and false with each other.
using FilterValue = std::variant<bool, std::int64_t, double, std::string>;

/// Which documents may be found, by their metadata: section = "graphics" and not (year < 2020 or tag in ("old", "x"))
///
/// A field is a key of the metadata; of an object within it "a.b". The fields `uri` and `modified` are those of the
/// document. A list holds for a comparison if any of its entries does. A field that is absent, null or of another type
/// fails every comparison; `not` turns that round, and `a != b` is `not a = b`, so it holds for documents without the
/// field. A filter is a value: it can be built, parsed, printed and kept. A store binds its fields and values as
/// parameters.
class Filter {
 public:
  enum class Kind { equal, less, at_most, greater, at_least, one_of, exists, all, any, negation };

  /// The filter that `text` says. Operators: = (or ==), != (or <>), <, <=, >, >=, [not] in ("a", 2), exists; not, and,
  /// or, which bind in this order; parentheses. Values: 'text' or "text", in which \ takes the next character as it is;
  /// numbers; true, false. A field that is not a plain word (letters, digits, _ . -) is written in quotes. Keywords in
  /// any case. Throws OptionError with the place, counted in bytes from 1. At most 64 levels deep and 10000 values.
  static Filter parse(std::string_view text);

  /// Throw OptionError for an empty field, a number that is not finite, or text that is not UTF-8.
  static Filter equal(std::string field, FilterValue value);
  static Filter less(std::string field, FilterValue value);
  static Filter at_most(std::string field, FilterValue value);
  static Filter greater(std::string field, FilterValue value);
  static Filter at_least(std::string field, FilterValue value);
  static Filter one_of(std::string field, std::vector<FilterValue> values);  ///< of none: holds for no document
  static Filter exists(std::string field);

  friend Filter operator&&(Filter a, Filter b);
  friend Filter operator||(Filter a, Filter b);
  friend Filter operator!(Filter a);

  Kind kind() const { return kind_; }
  const std::string& field() const { return field_; }                 ///< of a comparison
  const std::vector<FilterValue>& values() const { return values_; }  ///< of a comparison: one; of one_of: any number
  const std::vector<Filter>& parts() const { return parts_; }  ///< of all and any: two and more; of negation: one

  /// Text that parse() turns into an equal filter, if that is within its limits: that of what was parsed always is.
  std::string text() const;

  bool operator==(const Filter&) const = default;

 private:
  explicit Filter(Kind kind) : kind_(kind) {}
  static Filter comparison(Kind kind, std::string field, std::vector<FilterValue> values);
  static Filter joined(Kind kind, Filter a, Filter b);

  Kind kind_;
  std::string field_;
  std::vector<FilterValue> values_;
  std::vector<Filter> parts_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/filter-inl.hpp"
#endif
