#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/text/bpe.hpp"
#include "graft/text/detail/decoder_steps.hpp"
#include "graft/text/detail/read_added_tokens.hpp"
#include "graft/text/detail/read_stages.hpp"
#include "graft/text/detail/unsupported.hpp"
#include "graft/text/detail/wordpiece_decoder.hpp"
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
  Vocabulary vocabulary = read_vocabulary(fields);
  if (vocabulary.find(options.unknown_token) < 0) fields.fail("unk_token", "a token of \"vocab\"");
  return std::make_unique<WordPiece>(std::move(vocabulary), std::move(options));
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

/// FormatErrors of the models do not know the file: this one does.
template <class Make>
std::unique_ptr<const SubwordModel> made(std::string_view where, Make&& make) {
  try {
    return make();
  } catch (const FormatError& error) {
    throw FormatError(message(where, ": ", error.what()));
  }
}

inline std::unique_ptr<const SubwordModel> read_bpe(const JsonFields& fields, bool byte_level) {
  if (fields.number("dropout", 0, 1, 0) != 0) fields.fail("dropout", "0 or null: the same text gives the same tokens");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!fields.text(name, "").empty()) fields.fail(name, "empty or null");
  }
  const Json& list = fields.value("merges");
  if (!list.is_array()) fields.fail("merges", "an array");
  std::vector<BpeMerge> merges;
  merges.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) merges.push_back(read_merge(list[i], fields, i));
  CharacterBpeOptions options{.fuse_unknown = fields.boolean("fuse_unk", false),
                              .byte_fallback = fields.boolean("byte_fallback", false),
                              .whole_words = fields.boolean("ignore_merges", false)};
  if (fields.has("unk_token")) options.unknown_token = fields.text("unk_token");
  Vocabulary vocabulary = read_vocabulary(fields);
  return made(fields.where(), [&]() -> std::unique_ptr<const SubwordModel> {
    if (byte_level) {
      return std::make_unique<ByteBpe>(std::move(vocabulary), merges,
                                       ByteBpeOptions{std::move(options.unknown_token), options.whole_words});
    }
    return std::make_unique<CharacterBpe>(std::move(vocabulary), merges, std::move(options));
  });
}

inline std::unique_ptr<const SubwordModel> read_model(const JsonFields& file, bool byte_level) {
  const JsonFields fields = file.object("model");
  // Old files leave the type out; only WordPiece has a limit of characters, only BPE has merges.
  const std::string type = fields.text("type", fields.has("max_input_chars_per_word") ? "WordPiece"
                                               : fields.has("merges")                 ? "BPE"
                                                                                      : "without a type");
  if (type == "WordPiece" && !byte_level) return read_wordpiece(fields);
  if (type == "BPE") return read_bpe(fields, byte_level);
  unsupported(fields, type, "supported are WordPiece (not behind ByteLevel) and BPE");
}

inline void read_decoder_steps(const JsonFields& fields, Growth& growth,
                               std::vector<std::unique_ptr<const DecoderStep>>& steps) {
  const std::string type = fields.text("type");
  if (type == "ByteLevel") {
    steps.push_back(std::make_unique<ByteLevelStep>());
  } else if (type == "Replace") {
    std::string pattern = read_string_pattern(fields), content = fields.text("content");
    growth.replace(fields, pattern, content);
    steps.push_back(std::make_unique<ReplaceStep>(std::move(pattern), std::move(content)));
  } else if (type == "ByteFallback") {
    steps.push_back(std::make_unique<ByteFallbackStep>());
  } else if (type == "Fuse") {
    steps.push_back(std::make_unique<FuseStep>());
  } else if (type == "Strip") {
    const std::string character = fields.text("content");
    if (character.empty()) fields.fail("content", "one character");
    const auto start = static_cast<std::size_t>(fields.integer("start", 0, INT32_MAX));
    steps.push_back(
        std::make_unique<StripStep>(character, start, static_cast<std::size_t>(fields.integer("stop", 0, INT32_MAX))));
  } else if (type == "Metaspace") {
    if (fields.text("replacement") != Metaspace::sign) fields.fail("replacement", "U+2581, the usual sign");
    const std::string scheme = fields.text("prepend_scheme", fields.boolean("add_prefix_space", true) ? "" : "never");
    steps.push_back(std::make_unique<MetaspaceStep>(scheme != "never"));
  } else if (type == "Sequence") {
    for_each_object(fields, "decoders", [&](const JsonFields& step) { read_decoder_steps(step, growth, steps); });
  } else {
    unsupported(fields, type,
                "supported are WordPiece alone, ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, Sequence and "
                "null");
  }
}

inline std::unique_ptr<const Decoder> read_decoder(const JsonFields& file) {
  if (!file.has("decoder")) return std::make_unique<SpaceDecoder>();
  const JsonFields fields = file.object("decoder");
  if (fields.text("type") == "WordPiece") {
    return std::make_unique<WordPieceDecoder>(fields.text("prefix"), fields.boolean("cleanup"));
  }
  std::vector<std::unique_ptr<const DecoderStep>> steps;
  Growth growth;
  read_decoder_steps(fields, growth, steps);
  return std::make_unique<StepDecoder>(std::move(steps));
}

}  // namespace graft::detail
