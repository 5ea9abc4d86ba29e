#pragma once

#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/io/detail/gguf_cursor.hpp"
#include "graft/io/gguf_metadata.hpp"

namespace graft {

namespace detail {

/// The types of metadata, as the file numbers them.
enum GgufValue : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

/// Bytes of one value of a type that has a fixed size; 0 for strings and arrays.
GRAFT_INLINE std::uint64_t gguf_value_bytes(std::uint32_t type) {
  constexpr std::array<std::uint8_t, 13> bytes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return bytes[type];
}

inline constexpr std::uint32_t gguf_value_types = 13;
inline constexpr std::size_t gguf_key_limit = 1024;

}  // namespace detail

GRAFT_INLINE void GgufMetadata::parse(detail::GgufCursor& cursor, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto length = cursor.number<std::uint64_t>("a key");
    if (length == 0 || length > detail::gguf_key_limit) {
      throw FormatError(
          message(cursor.where(), ": a key of ", length, " bytes; keys have 1 to ", detail::gguf_key_limit));
    }
    const std::string key(cursor.text(length, "a key"));
    const std::string what = "the value of " + quoted(key);
    Entry entry{.type = cursor.number<std::uint32_t>(what)};
    entry.array = entry.type == detail::kArray;
    if (entry.array) {
      entry.type = cursor.number<std::uint32_t>(what);
      entry.count = cursor.number<std::uint64_t>(what);
    }
    if (entry.type >= detail::gguf_value_types || entry.type == detail::kArray) {
      throw FormatError(message(cursor.where(), ": ", what, " is ", entry.array ? "an array of type " : "of type ",
                                entry.type, ", which graft does not read"));
    }
    entry.begin = cursor.position();
    skip_values(cursor, entry, what);
    if (!entries_.emplace(key, entry).second) {
      throw FormatError(message(where_, ": key ", quoted(key), " is there twice; remove one"));
    }
  }
}

/// Moves the cursor behind the values of `entry`, each of which it checks.
GRAFT_INLINE void GgufMetadata::skip_values(detail::GgufCursor& cursor, const Entry& entry, const std::string& what) {
  const std::uint64_t bytes = detail::gguf_value_bytes(entry.type);
  const std::uint64_t least = bytes != 0 ? bytes : 8;  // a string has at least its length
  if (entry.count > cursor.left() / least) {
    throw FormatError(message(cursor.where(), ": ", what, " is an array of ", entry.count, ", for which the ",
                              cursor.left(), " bytes that follow are too few; the file is cut short or not sound"));
  }
  if (entry.type == detail::kString) {
    for (std::uint64_t i = 0; i < entry.count; ++i) cursor.text(cursor.number<std::uint64_t>(what), what);
    return;
  }
  const std::string_view values = cursor.text(entry.count * bytes, what);
  if (entry.type == detail::kBool && values.find_first_not_of(std::string_view("\0\1", 2)) != values.npos) {
    throw FormatError(message(cursor.where(), ": ", what, " holds a boolean that is neither 0 nor 1"));
  }
}

template <class Number>
Number GgufMetadata::value_at(std::uint64_t at) const {
  Number value;
  std::memcpy(&value, header_.data() + at, sizeof value);
  return value;
}

GRAFT_INLINE std::string_view GgufMetadata::text_at(std::uint64_t at) const {
  return {header_.data() + at + 8, static_cast<std::size_t>(value_at<std::uint64_t>(at))};
}

GRAFT_INLINE std::vector<std::string_view> GgufMetadata::keys() const {
  std::vector<std::string_view> out;
  for (const auto& [key, entry] : entries_) out.push_back(key);
  return out;
}

GRAFT_INLINE const GgufMetadata::Entry* GgufMetadata::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

GRAFT_INLINE const GgufMetadata::Entry& GgufMetadata::scalar(std::string_view key, std::string_view wanted) const {
  const Entry* entry = find(key);
  if (!entry || entry->array) fail(key, wanted);
  return *entry;
}

GRAFT_INLINE const GgufMetadata::Entry& GgufMetadata::array(std::string_view key, std::string_view wanted) const {
  const Entry* entry = find(key);
  if (!entry || !entry->array) fail(key, wanted);
  return *entry;
}

/// Nothing where the value is no integer, or above 2^63 - 1.
GRAFT_INLINE std::optional<std::int64_t> GgufMetadata::integer_at(std::uint32_t type, std::uint64_t at) const {
  switch (type) {
    case detail::kU8:
      return value_at<std::uint8_t>(at);
    case detail::kI8:
      return value_at<std::int8_t>(at);
    case detail::kU16:
      return value_at<std::uint16_t>(at);
    case detail::kI16:
      return value_at<std::int16_t>(at);
    case detail::kU32:
      return value_at<std::uint32_t>(at);
    case detail::kI32:
      return value_at<std::int32_t>(at);
    case detail::kI64:
      return value_at<std::int64_t>(at);
    case detail::kU64:
      if (std::in_range<std::int64_t>(value_at<std::uint64_t>(at))) return value_at<std::int64_t>(at);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

/// Nothing where the value is no number, or none that is finite.
GRAFT_INLINE std::optional<double> GgufMetadata::number_at(std::uint32_t type, std::uint64_t at) const {
  std::optional<double> number;
  if (type == detail::kF32) {
    number = value_at<float>(at);
  } else if (type == detail::kF64) {
    number = value_at<double>(at);
  } else if (const auto integer = integer_at(type, at)) {
    number = static_cast<double>(*integer);
  }
  return number && std::isfinite(*number) ? number : std::nullopt;
}

GRAFT_INLINE std::string GgufMetadata::described(const Entry& entry) const {
  if (entry.array) return message("an array of ", entry.count);
  switch (entry.type) {
    case detail::kString:
      return quoted(text_at(entry.begin));
    case detail::kBool:
      return value_at<std::uint8_t>(entry.begin) ? "true" : "false";
    case detail::kF32:
      return message(value_at<float>(entry.begin));
    case detail::kF64:
      return message(value_at<double>(entry.begin));
    case detail::kU64:
      return message(value_at<std::uint64_t>(entry.begin));
    default:
      return message(*integer_at(entry.type, entry.begin));
  }
}

GRAFT_INLINE void GgufMetadata::fail(std::string_view key, std::string_view wanted) const {
  const Entry* entry = find(key);
  if (!entry) throw FormatError(message(where_, ": ", quoted(key), " is missing, but must be ", wanted));
  throw FormatError(message(where_, ": ", quoted(key), " is ", described(*entry), ", but must be ", wanted));
}

GRAFT_INLINE std::int64_t GgufMetadata::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const std::string wanted = message("an integer from ", min, " to ", max);
  const Entry& entry = scalar(key, wanted);
  const auto value = integer_at(entry.type, entry.begin);
  if (!value || *value < min || *value > max) fail(key, wanted);
  return *value;
}

GRAFT_INLINE std::int64_t GgufMetadata::integer(std::string_view key, std::int64_t min, std::int64_t max,
                                                std::int64_t fallback) const {
  return has(key) ? integer(key, min, max) : fallback;
}

GRAFT_INLINE double GgufMetadata::number(std::string_view key, double min, double max) const {
  const std::string wanted = message("a number from ", min, " to ", max);
  const Entry& entry = scalar(key, wanted);
  const auto value = number_at(entry.type, entry.begin);
  if (!value || *value < min || *value > max) fail(key, wanted);
  return *value;
}

GRAFT_INLINE double GgufMetadata::number(std::string_view key, double min, double max, double fallback) const {
  return has(key) ? number(key, min, max) : fallback;
}

GRAFT_INLINE bool GgufMetadata::boolean(std::string_view key) const {
  const Entry& entry = scalar(key, "true or false");
  if (entry.type != detail::kBool) fail(key, "true or false");
  return value_at<std::uint8_t>(entry.begin) != 0;
}

GRAFT_INLINE bool GgufMetadata::boolean(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

GRAFT_INLINE std::string_view GgufMetadata::text(std::string_view key) const {
  const Entry& entry = scalar(key, "a string");
  if (entry.type != detail::kString) fail(key, "a string");
  return text_at(entry.begin);
}

GRAFT_INLINE std::string_view GgufMetadata::text(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : fallback;
}

GRAFT_INLINE std::vector<std::string_view> GgufMetadata::texts(std::string_view key) const {
  const Entry& entry = array(key, "an array of strings");
  if (entry.type != detail::kString) fail(key, "an array of strings");
  std::vector<std::string_view> out;
  out.reserve(static_cast<std::size_t>(entry.count));
  for (std::uint64_t i = 0, at = entry.begin; i < entry.count; ++i) {
    out.push_back(text_at(at));
    at += 8 + out.back().size();
  }
  return out;
}

GRAFT_INLINE std::vector<std::int64_t> GgufMetadata::integers(std::string_view key) const {
  const Entry& entry = array(key, "an array of integers");
  std::vector<std::int64_t> out;
  out.reserve(static_cast<std::size_t>(entry.count));
  for (std::uint64_t i = 0; i < entry.count; ++i) {
    const auto value = integer_at(entry.type, entry.begin + i * detail::gguf_value_bytes(entry.type));
    if (!value) fail(key, "an array of integers");
    out.push_back(*value);
  }
  return out;
}

GRAFT_INLINE std::vector<double> GgufMetadata::numbers(std::string_view key) const {
  const Entry& entry = array(key, "an array of finite numbers");
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(entry.count));
  for (std::uint64_t i = 0; i < entry.count; ++i) {
    const auto value = number_at(entry.type, entry.begin + i * detail::gguf_value_bytes(entry.type));
    if (!value) fail(key, "an array of finite numbers");
    out.push_back(*value);
  }
  return out;
}

}  // namespace graft
