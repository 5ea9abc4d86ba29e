#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/text/tokenizer.hpp"

// What a sentence encoder and a cross-encoder ask of the tokenizer beside them.

namespace graft::detail {

/// "model_max_length" of a directory's tokenizer_config.json, if there is a limit: a huge number means that there is
/// none.
inline std::optional<std::size_t> tokenizer_limit(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json json = read_json(path);
  const JsonFields fields(json, path.native());
  if (!fields.has("model_max_length")) return std::nullopt;
  const double limit = fields.number("model_max_length", 1, 1e300);
  if (limit > 2147483648.0) return std::nullopt;
  return static_cast<std::size_t>(limit);
}

/// Most tokens of a text: as `stated`, else what the tokenizer and an encoder with so many positions allow. Throws
/// FormatError if more are stated than that.
inline std::size_t text_limit(const std::filesystem::path& directory, std::optional<std::size_t> stated,
                              std::optional<std::size_t> of_tokenizer, std::size_t positions) {
  if (stated && *stated > positions)
    throw FormatError(message(directory.native(), ": \"max_seq_length\" is ", *stated,
                              ", but the encoder has positions for ", positions, " tokens; lower it"));
  return stated.value_or(std::min(positions, of_tokenizer.value_or(positions)));
}

/// Throws FormatError for a tokenizer with ids that an encoder of so many words lacks, or one that keeps case where
/// texts shall be lower-cased.
inline void check_tokenizer(const std::filesystem::path& directory, const Tokenizer& tokenizer, std::int64_t words,
                            bool lower_case) {
  constexpr std::string_view upper = "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z";
  std::string lower(upper);
  for (char& c : lower) c = c == ' ' ? ' ' : static_cast<char>(c - 'A' + 'a');
  if (lower_case && tokenizer.encode(upper).ids != tokenizer.encode(lower).ids)
    throw FormatError(message(directory.native(), ": \"do_lower_case\" of sentence_bert_config.json is true, but the ",
                              "tokenizer keeps case; set its normalizer to lower case"));
  if (tokenizer.id_limit() > words)
    throw FormatError(message(directory.native(), ": the tokenizer has ids up to ", tokenizer.id_limit() - 1,
                              ", the encoder ", words, " word vectors; the two are not of one model"));
}

}  // namespace graft::detail
