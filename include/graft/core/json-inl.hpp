#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/file.hpp"
#include "graft/core/json.hpp"

namespace graft {

namespace detail {

/// Receives the events of nlohmann's parser and builds the value. Throws instead of returning false.
class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  JsonBuilder(std::string_view where, std::size_t depth) : where_(where), depth_(depth) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // never in text
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    const auto [place, is_new] = open_.back()->get_ref<Json::object_t&>().emplace(std::move(name), nullptr);
    if (!is_new) throw FormatError(message(where_, ": the key ", quoted(place->first), " is repeated in one object"));
    member_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // what() is "[json.exception...] parse error at line 1, column 2: <reason>; last read: '<text of any length>'", or
    // "[json.exception...] <reason>".
    std::string_view reason = error.what();
    reason.remove_prefix(reason.find("] ") + 2);
    if (reason.starts_with("parse error")) reason.remove_prefix(reason.find(": ") + 2);
    reason = reason.substr(0, std::min<std::size_t>(reason.find("; last read"), 200));
    throw FormatError(message(where_, ", byte ", position == 0 ? 0 : position - 1, ": not valid JSON: ", reason));
  }

 private:
  template <class Value>
  bool add(Value&& value) {
    place(Json(std::forward<Value>(value)));
    return true;
  }

  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& elements = open_.back()->get_ref<Json::array_t&>();
      elements.push_back(std::move(value));
      return &elements.back();
    }
    *member_ = std::move(value);
    return member_;
  }

  bool open(Json container) {
    if (open_.size() == depth_) throw FormatError(message(where_, ": nested deeper than ", depth_, " levels"));
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view where_;
  std::size_t depth_;
  Json root_;
  std::vector<Json*> open_;  // a container does not move while it is open: only the innermost one grows
  Json* member_ = nullptr;   // where the value that follows a key goes
};

}  // namespace detail

GRAFT_INLINE Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    throw FormatError(message(where, ": has ", text.size(), " bytes of JSON, more than the limit of ", limits.bytes));
  }
  // nlohmann's lexer skips a byte order mark and takes NUL for the end of the text.
  if (text.starts_with("\xEF\xBB\xBF")) {
    throw FormatError(message(where, ", byte 0: starts with a byte order mark; save it as UTF-8 without one"));
  }
  if (const std::size_t nul = text.find('\0'); nul != text.npos) {
    throw FormatError(message(where, ", byte ", nul, ": not valid JSON: a NUL byte"));
  }
  detail::JsonBuilder builder(where, limits.depth);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

GRAFT_INLINE Json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_file(path, limits.bytes), path.native(), limits);
}

namespace detail {

/// As Python writes it: nlohmann's differs from 10^15 on, and has null for what is not finite.
GRAFT_INLINE std::string json_number(double number) {
  if (!std::isfinite(number))
    throw OptionError(message("cannot be written as JSON: ", number, "; give a finite number"));
  const double size = std::abs(number);
  const bool is_fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  char digits[64];
  const auto format = is_fixed ? std::chars_format::fixed : std::chars_format::scientific;
  std::string out(digits, std::to_chars(digits, digits + sizeof digits, number, format).ptr);
  return is_fixed && out.find('.') == out.npos ? out + ".0" : out;
}

GRAFT_INLINE void add_json_text(const Json& value, std::size_t indent, std::string& out) {
  if (value.is_number_float()) {
    out += json_number(value.get<double>());
  } else if (!value.is_structured() || value.empty()) {
    out += value.dump(-1, ' ', true);
  } else {
    out += value.is_object() ? '{' : '[';
    const char* between = "\n";
    for (const auto& [name, member] : value.items()) {
      out.append(between).append(indent + 2, ' ');
      if (value.is_object()) out.append(Json(name).dump(-1, ' ', true)).append(": ");
      add_json_text(member, indent + 2, out);
      between = ",\n";
    }
    out.append("\n").append(indent, ' ') += value.is_object() ? '}' : ']';
  }
}

}  // namespace detail

GRAFT_INLINE std::string json_text(const Json& value) {
  std::string out;
  try {
    detail::add_json_text(value, 0, out);
  } catch (const Json::exception& error) {
    throw OptionError(message("cannot be written as JSON: ", error.what()));
  }
  return out;
}

GRAFT_INLINE std::string described(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return quoted(value.get_ref<const std::string&>());
    case Json::value_t::array:
      return message("an array of ", value.size());
    case Json::value_t::object:
      return "an object";
    default:
      return value.dump();
  }
}

GRAFT_INLINE JsonFields::JsonFields(const Json& object, std::string where)
    : object_(&object), where_(std::move(where)) {
  if (!object.is_object()) {
    throw FormatError(message(where_, ": is ", described(object), ", but must be a JSON object"));
  }
}

GRAFT_INLINE const Json* JsonFields::find(std::string_view field) const {
  const auto place = object_->find(field);
  return place == object_->end() || place->is_null() ? nullptr : &*place;
}

GRAFT_INLINE void JsonFields::fail(std::string_view field, std::string_view wanted) const {
  const Json* found = find(field);
  const std::string problem = found ? "is " + described(*found) : object_->contains(field) ? "is null" : "is missing";
  throw FormatError(message(where_, ": ", quoted(field), " ", problem, ", but must be ", wanted));
}

GRAFT_INLINE const Json& JsonFields::value(std::string_view field) const {
  const Json* found = find(field);
  if (!found) fail(field, "there");
  return *found;
}

GRAFT_INLINE std::int64_t JsonFields::integer(std::string_view field, std::int64_t min, std::int64_t max) const {
  const Json* found = find(field);
  const bool fits = found && found->is_number_integer() &&
                    !(found->is_number_unsigned() && !std::in_range<std::int64_t>(found->get<std::uint64_t>()));
  const std::int64_t result = fits ? found->get<std::int64_t>() : 0;
  if (!fits || result < min || result > max) fail(field, message("an integer from ", min, " to ", max));
  return result;
}

GRAFT_INLINE double JsonFields::number(std::string_view field, double min, double max) const {
  const Json* found = find(field);
  const double result = found && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
  if (!(result >= min && result <= max)) fail(field, message("a number from ", min, " to ", max));
  return result;
}

GRAFT_INLINE bool JsonFields::boolean(std::string_view field) const {
  const Json* found = find(field);
  if (!found || !found->is_boolean()) fail(field, "true or false");
  return found->get<bool>();
}

GRAFT_INLINE std::string JsonFields::text(std::string_view field) const {
  const Json* found = find(field);
  if (!found || !found->is_string()) fail(field, "a string");
  return found->get<std::string>();
}

GRAFT_INLINE std::vector<std::string> JsonFields::texts(std::string_view field) const {
  const Json* found = find(field);
  if (!found || !found->is_array()) fail(field, "an array of strings");
  std::vector<std::string> result;
  for (const Json& element : *found) {
    if (!element.is_string()) fail(field, "an array of strings, and holds " + described(element));
    result.push_back(element.get<std::string>());
  }
  return result;
}

GRAFT_INLINE JsonFields JsonFields::object(std::string_view field) const {
  const Json* found = find(field);
  if (!found || !found->is_object()) fail(field, "an object");
  return JsonFields(*found, message(where_, ": ", quoted(field)));
}

GRAFT_INLINE std::int64_t JsonFields::integer(std::string_view field, std::int64_t min, std::int64_t max,
                                              std::int64_t fallback) const {
  return has(field) ? integer(field, min, max) : fallback;
}

GRAFT_INLINE double JsonFields::number(std::string_view field, double min, double max, double fallback) const {
  return has(field) ? number(field, min, max) : fallback;
}

GRAFT_INLINE bool JsonFields::boolean(std::string_view field, bool fallback) const {
  return has(field) ? boolean(field) : fallback;
}

GRAFT_INLINE std::string JsonFields::text(std::string_view field, std::string_view fallback) const {
  return has(field) ? text(field) : std::string(fallback);
}

GRAFT_INLINE std::vector<std::string> JsonFields::texts_or_none(std::string_view field) const {
  return has(field) ? texts(field) : std::vector<std::string>{};
}

}  // namespace graft
