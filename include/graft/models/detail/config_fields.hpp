#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"

// What all readers and writers of a config.json share.

namespace graft::detail {

/// Limits of sizes that no real model reaches and that keep every product of two below 2^63.
inline constexpr std::int64_t max_config_size = std::int64_t{1} << 20, max_words = std::int64_t{1} << 24,
                              max_positions = std::int64_t{1} << 22, max_layers = 1024;

/// {"a", "b", "c"} as `a, b or c`, or with `quotes` as `"a", "b" or "c"`.
std::string alternatives(std::span<const std::string_view> names, bool quotes);

/// Throws FormatError that names those of `names` that are not there. `whose` is "a BERT", say.
void require_fields(const JsonFields& fields, std::span<const std::string_view> names, std::string_view whose);

/// Throws FormatError unless the field is an activation's name, or absent.
std::string read_activation(const JsonFields& fields, std::string_view field, std::string_view fallback);

/// The fields of `json` that are neither in `known`, what a configuration writes, nor among `older` names of such: as
/// text, to be kept.
std::string other_fields(const Json& json, const Json& known, std::initializer_list<const char*> older = {});

/// A config.json that begins with what other_fields() gave.
Json config_json(const std::string& other, const std::string& architecture, const std::string& dtype,
                 const std::string& model_type);

/// A fault as a FormatError of `where`, if there is one.
void refuse_fault(const std::string& fault, const std::string& where);

/// What is wrong with a dropout, or nothing.
std::string dropout_fault(std::initializer_list<double> chances);

/// What is wrong with an id of a vocabulary of `words`, or nothing.
std::string id_fault(std::string_view field, std::int64_t id, std::int64_t words);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/models/detail/config_fields-inl.hpp"
#endif
