#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/text/bpe.hpp"
#include "graft/text/detail/read_added_tokens.hpp"
#include "graft/text/detail/read_pre_tokenizer.hpp"
#include "graft/text/detail/unsupported.hpp"
#include "graft/text/unigram.hpp"
#include "graft/text/wordlevel.hpp"
#include "graft/text/wordpiece.hpp"

namespace graft::detail {

inline Vocabulary read_vocabulary(const JsonFields& model) {
  const Json& vocabulary = model.value("vocab");
  if (!vocabulary.is_object()) model.fail("vocab", "an object of tokens and their ids");
  const JsonFields ids(vocabulary, message(model.where(), ": \"vocab\""));
  std::vector<Vocabulary::Entry> entries;
  entries.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > largest_token_id) {
      ids.fail(token, message("an integer from 0 to ", largest_token_id));
    }
    entries.push_back({token, id.get<std::int32_t>()});
  }
  return Vocabulary(entries, ids.where());
}

inline std::unique_ptr<const SubwordModel> read_wordpiece(const JsonFields& fields) {
  WordPieceOptions options;
  options.unknown_token = fields.text("unk_token");
  options.continuing_prefix = fields.text("continuing_subword_prefix");
  options.max_characters_a_word = fields.integer("max_input_chars_per_word", 0, INT32_MAX);
  return std::make_unique<WordPiece>(read_vocabulary(fields), std::move(options));
}

/// "a b" as older files have it, or ["a", "b"].
inline BpeMerge read_merge(const Json& merge, const JsonFields& model, std::size_t place) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& both = merge.get_ref<const std::string&>();
    const std::size_t space = both.find(' ');
    if (space != std::string::npos && both.find(' ', space + 1) == std::string::npos) {
      return {both.substr(0, space), both.substr(space + 1)};
    }
  }
  throw FormatError(
      message(model.where(), ": \"merges\"[", place, "] is ", described(merge), ", but must be two tokens"));
}

inline std::unique_ptr<const SubwordModel> read_bpe(const JsonFields& fields, PreTokenizerParts& pre_tokenizer) {
  if (fields.number("dropout", 0, 1, 0) != 0) fields.fail("dropout", "0 or null: the same text gives the same tokens");
  const Json& list = fields.value("merges");
  if (!list.is_array()) fields.fail("merges", "an array");
  std::vector<BpeMerge> merges;
  merges.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) merges.push_back(read_merge(list[i], fields, i));
  CharacterBpeOptions options{.fuse_unknown = fields.boolean("fuse_unk", false),
                              .byte_fallback = fields.boolean("byte_fallback", false),
                              .whole_words = fields.boolean("ignore_merges", false),
                              .continuing_prefix = fields.text("continuing_subword_prefix", ""),
                              .word_suffix = fields.text("end_of_word_suffix", "")};
  if (fields.has("unk_token")) options.unknown_token = fields.text("unk_token");
  Vocabulary vocabulary = read_vocabulary(fields);
  const bool plain = !(options.fuse_unknown && options.unknown_token) && !options.byte_fallback &&
                     options.continuing_prefix.empty() && options.word_suffix.empty();
  return named(fields.where(), [&]() -> std::unique_ptr<const SubwordModel> {
    if (plain && pre_tokenizer.byte_level) {
      pre_tokenizer.byte_level = false;
      return std::make_unique<ByteBpe>(std::move(vocabulary), merges,
                                       ByteBpeOptions{std::move(options.unknown_token), options.whole_words});
    }
    return std::make_unique<CharacterBpe>(std::move(vocabulary), merges, std::move(options));
  });
}

inline std::unique_ptr<const SubwordModel> read_unigram(const JsonFields& fields) {
  const Json& list = fields.value("vocab");
  if (!list.is_array()) fields.fail("vocab", "an array of tokens and their scores");
  std::vector<Unigram::Piece> pieces;
  pieces.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Json& piece = list[i];
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number()) {
      throw FormatError(
          message(fields.where(), ": \"vocab\"[", i, "] is ", described(piece), ", but must be a token and its score"));
    }
    pieces.push_back({piece[0].get<std::string>(), piece[1].get<double>()});
  }
  std::optional<std::int32_t> unknown;
  if (fields.has("unk_id")) unknown = static_cast<std::int32_t>(fields.integer("unk_id", 0, largest_token_id));
  return named(fields.where(),
               [&] { return std::make_unique<Unigram>(pieces, unknown, fields.boolean("byte_fallback", false)); });
}

/// May take the last step, the spelling of bytes, from the pre-tokenizer.
inline std::unique_ptr<const SubwordModel> read_model(const JsonFields& file, PreTokenizerParts& pre_tokenizer) {
  const JsonFields fields = file.object("model");
  // Old files leave the type out; each model has a field that no other has.
  const std::string type = fields.text("type", fields.has("max_input_chars_per_word")                    ? "WordPiece"
                                               : fields.has("merges")                                    ? "BPE"
                                               : fields.has("vocab") && fields.value("vocab").is_array() ? "Unigram"
                                               : fields.has("unk_token")                                 ? "WordLevel"
                                                                         : "without a type");
  if (type == "WordPiece") return read_wordpiece(fields);
  if (type == "BPE") return read_bpe(fields, pre_tokenizer);
  if (type == "Unigram") return read_unigram(fields);
  if (type == "WordLevel") return std::make_unique<WordLevel>(read_vocabulary(fields), fields.text("unk_token"));
  unsupported(fields, type, "supported are BPE, Unigram, WordLevel and WordPiece");
}

}  // namespace graft::detail
