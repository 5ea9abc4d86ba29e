#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/text/detail/load_gguf_tokenizer.hpp"
#include "graft/text/detail/pipeline.hpp"
#include "graft/text/detail/read_added_tokens.hpp"
#include "graft/text/detail/read_decoder.hpp"
#include "graft/text/detail/read_model.hpp"
#include "graft/text/detail/read_normalizer.hpp"
#include "graft/text/detail/read_post_processor.hpp"
#include "graft/text/detail/read_pre_tokenizer.hpp"
#include "graft/text/unicode.hpp"

namespace graft::detail {

inline Stages load_tokenizer_json(const std::filesystem::path& path, const BertTextSettings& config) {
  const Json json = read_json(path);
  const JsonFields file(json, path.string());
  if (file.text("version", "1.0") != "1.0") file.fail("version", "\"1.0\"");
  Stages stages;
  stages.normalizer = read_normalizer(file, config);
  PreTokenizerParts pre_tokenizer = read_pre_tokenizer(file);
  stages.model = read_model(file, pre_tokenizer);
  pre_tokenizer.spell_bytes();
  stages.pre_tokenizer = joined(std::move(pre_tokenizer));
  stages.decoder = read_decoder(file);
  const std::vector<AddedToken> added = read_added_tokens(file, stages.model->vocabulary());
  stages.vocabulary = joined(stages.model->vocabulary(), added, file.where());
  set_added_tokens(stages, added, file.where());
  if (file.has("post_processor")) read_post_processor(file.object("post_processor"), stages);
  if (file.has("truncation")) {
    stages.file_max_length = static_cast<std::size_t>(file.object("truncation").integer("max_length", 0, INT64_MAX));
  }
  return stages;
}

/// A token a line, its id the line's number from 0; white space at a line's end does not count. Of equal
/// lines the last counts.
inline Vocabulary read_vocab_txt(const std::filesystem::path& path) {
  constexpr std::uint64_t largest_file = 256 << 20;
  const std::string text = read_file(path, largest_file);
  if (const std::size_t invalid = find_invalid_utf8(text); invalid != std::string::npos) {
    throw FormatError(message(path.string(), ": byte ", invalid, " is not UTF-8; save the file as UTF-8"));
  }
  std::vector<Vocabulary::Entry> entries;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (entries.size() > largest_token_id) {
      throw FormatError(message(path.string(), ": more than ", largest_token_id + 1, " lines"));
    }
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    std::size_t length = 0;  // up to the last character that is not white space
    for (std::size_t at = 0; at < line.size();) {
      const Utf8Step step = decode_valid_utf8(line.data() + at);
      at += step.length;
      if (!is_white_space(step.code_point)) length = at;
    }
    entries.push_back({std::string(line.substr(0, length)), static_cast<std::int32_t>(entries.size())});
    begin = end + 1;
  }
  return Vocabulary(entries, path.string(), Vocabulary::Repeated::last);
}

inline Stages load_vocab_txt(const std::filesystem::path& path, const BertTextSettings& config) {
  Vocabulary vocabulary = read_vocab_txt(path);
  std::string missing;
  for (const std::string_view token : {"[UNK]", "[CLS]", "[SEP]"}) {
    if (vocabulary.find(token) < 0) missing += message(missing.empty() ? "" : ", ", token);
  }
  if (!missing.empty()) {
    throw FormatError(message(path.string(), ": no line holds ", missing, "; a BERT vocabulary needs them"));
  }
  BertNormalizerOptions options;
  options.lowercase = config.lowercase.value_or(true);
  options.strip_accents = config.strip_accents.value_or(options.lowercase);
  options.handle_chinese_chars = config.chinese.value_or(true);
  std::vector<AddedToken> added;
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    if (const auto id = vocabulary.id(token)) {
      AddedToken special;
      special.content = token;
      special.id = *id;
      special.special = true;
      added.push_back(std::move(special));
    }
  }
  Stages stages;
  stages.vocabulary = vocabulary;
  stages.post_processor = bert_template(vocabulary.find("[CLS]"), vocabulary.find("[SEP]"));
  stages.normalizer = std::make_unique<BertNormalizer>(options);
  stages.pre_tokenizer = std::make_unique<BertPreTokenizer>();
  stages.model = std::make_unique<WordPiece>(std::move(vocabulary));
  stages.decoder = std::make_unique<StepDecoder>(std::make_unique<WordPieceStep>("##", true));
  set_added_tokens(stages, added, path.string());
  return stages;
}

inline Stages load_tokenizer(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    const BertTextSettings config = read_bert_config(path);
    if (std::filesystem::exists(path / "tokenizer.json")) return load_tokenizer_json(path / "tokenizer.json", config);
    if (std::filesystem::exists(path / "vocab.txt")) return load_vocab_txt(path / "vocab.txt", config);
    throw FileError(message(path.string(),
                            ": neither tokenizer.json nor vocab.txt is there; name a directory or file "
                            "with a tokenizer"));
  }
  if (path.extension() == ".json") return load_tokenizer_json(path, {});
  if (path.extension() == ".txt") return load_vocab_txt(path, {});
  if (path.extension() == ".gguf") return load_gguf_tokenizer(path);
  if (!std::filesystem::exists(path)) throw FileError(message(path.string(), ": there is no such file or directory"));
  throw OptionError(message(path.string(),
                            ": graft reads tokenizer.json, vocab.txt and GGUF files, told apart by .json, "
                            ".txt and .gguf"));
}

}  // namespace graft::detail
