#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/utf8.hpp"
#include "graft/retrieval/document.hpp"
#include "graft/retrieval/filter.hpp"

namespace graft::detail {

/// A field of metadata and one of its values.
struct Attribute {
  std::string key;
  FilterValue value;
};

inline constexpr int kMetadataDepth = 16;
inline constexpr std::size_t kMetadataValues = 1000;
inline constexpr std::size_t kMetadataBytes = 1 << 20;

/// Adds the values below `json` to `out`; the key of a member of an object is "outer.inner", a list repeats its key.
inline void flatten(const std::string& key, const Json& json, int depth, std::vector<Attribute>& out) {
  if (depth > kMetadataDepth)
    throw OptionError(message("metadata: more than ", kMetadataDepth, " lists and objects within each other"));
  if (json.is_object()) {
    for (const auto& [name, value] : json.items())
      flatten(key.empty() ? name : key + "." + name, value, depth + 1, out);
  } else if (json.is_array()) {
    for (const Json& value : json) flatten(key, value, depth + 1, out);
  } else if (json.is_string()) {
    out.push_back({key, json.get<std::string>()});
  } else if (json.is_boolean()) {
    out.push_back({key, json.get<bool>()});
  } else if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX) {
    out.push_back({key, static_cast<double>(json.get<std::uint64_t>())});
  } else if (json.is_number_integer()) {
    out.push_back({key, json.get<std::int64_t>()});
  } else if (json.is_number()) {
    if (!std::isfinite(json.get<double>()))
      throw OptionError(message("metadata: ", quoted(key), " is a number that is not finite"));
    out.push_back({key, json.get<double>()});
  } else if (!json.is_null()) {
    throw OptionError(message("metadata: ", quoted(key), " is of a kind that JSON does not have"));
  }
}

/// What filters see of a document. Throws OptionError for metadata that a store does not take.
inline std::vector<Attribute> attributes(std::string_view uri, const Json& metadata, std::int64_t modified) {
  if (!metadata.is_object()) throw OptionError("metadata is not a JSON object; write {\"key\": value}");
  std::vector<Attribute> out;
  flatten("", metadata, 0, out);
  if (out.size() > kMetadataValues)
    throw OptionError(message("metadata has ", out.size(), " values; a document may have ", kMetadataValues));
  for (const Attribute& attribute : out) {
    if (attribute.key == "uri" || attribute.key == "modified")
      throw OptionError(
          message("metadata has a key ", quoted(attribute.key), ", which is the document's own; name it otherwise"));
    const auto* text = std::get_if<std::string>(&attribute.value);
    if (!is_utf8(attribute.key) || (text && !is_utf8(*text)))
      throw OptionError(message("metadata: ", quoted(attribute.key), " or its value is not UTF-8"));
  }
  out.push_back({"uri", std::string(uri)});
  out.push_back({"modified", modified});
  return out;
}

/// As JSON. Throws OptionError for more than a document may have.
inline std::string metadata_text(const Json& metadata) {
  std::string out = metadata.dump();
  if (out.size() > kMetadataBytes)
    throw OptionError(message("metadata has ", out.size(), " bytes as JSON; a document may have ", kMetadataBytes));
  return out;
}

/// Which values can be compared with each other: the attributes table's `kind`.
inline int value_kind(const FilterValue& value) {
  return std::holds_alternative<std::string>(value) ? 2 : std::holds_alternative<bool>(value) ? 0 : 1;
}

}  // namespace graft::detail
