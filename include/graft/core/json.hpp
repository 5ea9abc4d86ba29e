#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// Declared only: who looks into a value includes <nlohmann/json.hpp>.
using Json = nlohmann::json;

/// How much a JSON text may ask for. The default passes the largest files that models ship (a 33 MB tokenizer.json).
struct JsonLimits {
  std::size_t depth = 64;        ///< objects and arrays within each other
  std::size_t bytes = 64 << 20;  ///< length of the text
};

/// The value that `text` holds. Strict RFC 8259, and stricter: no byte order mark, no NUL, no comment, no lone
/// surrogate, no repeated key, nothing after the value. An integer that 64 bits hold is exact; a longer one is a
/// number_float in the result, which no getter of JsonFields takes for an integer.
/// `where` names the text in errors, such as the file's path. Throws FormatError, with the byte (from 0) where it can
/// be known. Length and depth are checked before memory is spent on what exceeds them; the stack does not grow with the
/// text.
Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits = {});

/// parse_json() of a regular file's content. Throws FileError too.
Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

/// The members of a JSON object, read by type. Every error is a FormatError that names the file and the field:
/// `config.json: "hidden_size" is 0, but must be an integer from 1 to 1048576`.
///
/// A view: the Json must outlive it. A getter with a fallback gives it for a member that is absent or null.
class JsonFields {
 public:
  /// `where` names the object in errors. Throws if `object` is not an object.
  JsonFields(const Json& object, std::string where);
  JsonFields(Json&& object, std::string where) = delete;

  const std::string& where() const { return where_; }
  const Json& json() const { return *object_; }

  /// Whether the member is there and not null.
  bool has(std::string_view field) const { return find(field) != nullptr; }

  /// An integer in [min, max]. 2.0, "2" and true are none.
  std::int64_t integer(std::string_view field, std::int64_t min, std::int64_t max) const;
  std::int64_t integer(std::string_view field, std::int64_t min, std::int64_t max, std::int64_t fallback) const;

  /// A finite number in [min, max], integer or not.
  double number(std::string_view field, double min, double max) const;
  double number(std::string_view field, double min, double max, double fallback) const;

  bool boolean(std::string_view field) const;
  bool boolean(std::string_view field, bool fallback) const;

  std::string text(std::string_view field) const;
  std::string text(std::string_view field, std::string_view fallback) const;

  /// An array of strings. Absent or null: empty, by the second form.
  std::vector<std::string> texts(std::string_view field) const;
  std::vector<std::string> texts_or_none(std::string_view field) const;

  /// The member itself, of any type but null.
  const Json& value(std::string_view field) const;

  /// A member that is an object, named `where: "field"` in errors of its own.
  JsonFields object(std::string_view field) const;

  /// FormatError: `where: "field" is <value>, but must be <wanted>`.
  [[noreturn]] void fail(std::string_view field, std::string_view wanted) const;

 private:
  const Json* find(std::string_view field) const;

  const Json* object_;
  std::string where_;
};

/// `value` as Python's json.dumps(value, indent=2, sort_keys=True) writes it, which is how Hugging Face's files look:
/// ASCII only, no line end after the last brace. Throws OptionError if a string is not UTF-8 or a number not finite.
std::string json_text(const Json& value);

/// A value for a message: a scalar as JSON writes it, at most 120 bytes of it; "an array of 3"; "an object".
std::string described(const Json& value);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/json-inl.hpp"
#endif
