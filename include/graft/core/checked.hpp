#pragma once

#include <concepts>
#include <utility>

#include "graft/core/error.hpp"

namespace graft {

/// a + b, or a FormatError that names `what` if the sum leaves the type. For sizes that come from a file.
template <std::integral T>
T checked_add(T a, T b, std::string_view what) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) throw FormatError(message(what, ": ", a, " + ", b, " is too large"));
  return sum;
}

/// a * b, or a FormatError that names `what` if the product leaves the type.
template <std::integral T>
T checked_mul(T a, T b, std::string_view what) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) throw FormatError(message(what, ": ", a, " x ", b, " is too large"));
  return product;
}

/// `value` as a `To`, or a FormatError that names `what` if `To` cannot hold it.
template <std::integral To, std::integral From>
To checked_cast(From value, std::string_view what) {
  if (!std::in_range<To>(value)) throw FormatError(message(what, ": ", value, " is out of range"));
  return static_cast<To>(value);
}

}  // namespace graft
