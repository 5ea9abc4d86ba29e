#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/text/detail/bert_normalizer.hpp"
#include "graft/text/detail/bert_pre_tokenizer.hpp"
#include "graft/text/detail/pipeline.hpp"
#include "graft/text/detail/wordpiece_decoder.hpp"
#include "graft/text/wordpiece.hpp"

namespace graft::detail {

inline constexpr std::int64_t largest_token_id = (1 << 24) - 1;

/// What tokenizer_config.json says about BERT's normalizer; empty where it says nothing.
struct BertTextSettings {
  std::optional<bool> lowercase, strip_accents, chinese;
  std::string where;
};

inline BertTextSettings read_bert_config(const std::filesystem::path& directory) {
  BertTextSettings config;
  const std::filesystem::path path = directory / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return config;
  config.where = path.string();
  const Json json = read_json(path);
  const JsonFields fields(json, config.where);
  const auto optional_boolean = [&fields](std::string_view name) {
    return fields.has(name) ? std::optional(fields.boolean(name)) : std::nullopt;
  };
  config.lowercase = optional_boolean("do_lower_case");
  config.strip_accents = optional_boolean("strip_accents");
  config.chinese = optional_boolean("tokenize_chinese_chars");
  return config;
}

/// The error for a component that graft does not have.
[[noreturn]] inline void unsupported(const JsonFields& component, std::string_view type, std::string_view supported) {
  throw FormatError(message(component.where(), ": ", quoted(type), " is not supported; ", supported));
}

inline std::unique_ptr<const Normalizer> read_normalizer(const JsonFields& file, const BertTextSettings& config) {
  if (!file.has("normalizer")) return std::make_unique<PlainNormalizer>();
  const JsonFields fields = file.object("normalizer");
  const std::string type = fields.text("type");
  if (type != "BertNormalizer") unsupported(fields, type, "supported are BertNormalizer and null");
  BertNormalizerOptions options;
  options.clean_text = fields.boolean("clean_text");
  options.handle_chinese_chars = fields.boolean("handle_chinese_chars");
  options.lowercase = fields.boolean("lowercase");
  options.strip_accents = fields.boolean("strip_accents", options.lowercase);
  const auto check = [&](std::optional<bool> other, bool own, std::string_view other_name, std::string_view name) {
    if (!other || *other == own) return;
    throw FormatError(message(config.where, ": \"", other_name, "\" is ", *other ? "true" : "false", ", but ",
                              fields.where(), " has \"", name, "\" ", own ? "true" : "false",
                              "; make the two files agree"));
  };
  check(config.lowercase, options.lowercase, "do_lower_case", "lowercase");
  check(config.chinese, options.handle_chinese_chars, "tokenize_chinese_chars", "handle_chinese_chars");
  check(config.strip_accents, options.strip_accents, "strip_accents", "strip_accents");
  return std::make_unique<BertNormalizer>(options);
}

inline std::unique_ptr<const PreTokenizer> read_pre_tokenizer(const JsonFields& file) {
  if (!file.has("pre_tokenizer")) return std::make_unique<WholePreTokenizer>();
  const JsonFields fields = file.object("pre_tokenizer");
  const std::string type = fields.text("type");
  if (type != "BertPreTokenizer") unsupported(fields, type, "supported are BertPreTokenizer and null");
  return std::make_unique<BertPreTokenizer>();
}

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

inline std::unique_ptr<const SubwordModel> read_model(const JsonFields& file) {
  const JsonFields fields = file.object("model");
  // Old files leave the type out; only WordPiece has a limit of characters.
  const std::string type = fields.text("type", fields.has("max_input_chars_per_word") ? "WordPiece" : "without a type");
  if (type != "WordPiece") unsupported(fields, type, "supported is WordPiece");
  WordPieceOptions options;
  options.unknown_token = fields.text("unk_token");
  options.continuing_prefix = fields.text("continuing_subword_prefix");
  options.max_characters_a_word = fields.integer("max_input_chars_per_word", 0, INT32_MAX);
  Vocabulary vocabulary = read_vocabulary(fields);
  if (vocabulary.find(options.unknown_token) < 0) fields.fail("unk_token", "a token of \"vocab\"");
  return std::make_unique<WordPiece>(std::move(vocabulary), std::move(options));
}

inline std::unique_ptr<const Decoder> read_decoder(const JsonFields& file) {
  if (!file.has("decoder")) return std::make_unique<SpaceDecoder>();
  const JsonFields fields = file.object("decoder");
  const std::string type = fields.text("type");
  if (type != "WordPiece") unsupported(fields, type, "supported are WordPiece and null");
  return std::make_unique<WordPieceDecoder>(fields.text("prefix"), fields.boolean("cleanup"));
}

/// The added tokens in the order of the file. The number of each must be the one that the reference gives it: its id in
/// the model, else the next free one.
inline std::vector<AddedToken> read_added_tokens(const JsonFields& file, const Vocabulary& model) {
  std::vector<AddedToken> tokens;
  if (!file.has("added_tokens")) return tokens;
  const Json& list = file.value("added_tokens");
  if (!list.is_array()) file.fail("added_tokens", "an array");
  std::unordered_set<std::string> seen;
  auto next = static_cast<std::int64_t>(model.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const JsonFields fields(list[i], message(file.where(), ": \"added_tokens\"[", i, "]"));
    AddedToken token;
    token.content = fields.text("content");
    token.id = static_cast<std::int32_t>(fields.integer("id", 0, largest_token_id));
    token.single_word = fields.boolean("single_word");
    token.lstrip = fields.boolean("lstrip");
    token.rstrip = fields.boolean("rstrip");
    token.normalized = fields.boolean("normalized");
    token.special = fields.boolean("special");
    if (token.content.empty()) continue;
    constexpr std::size_t longest = 512;  // keeps matching linear in the text
    if (token.content.size() > longest) fields.fail("content", message("at most ", longest, " bytes long"));
    if (!seen.insert(token.content).second) {
      throw FormatError(message(fields.where(), ": token ", quoted(token.content), " is listed twice; remove one"));
    }
    const std::int32_t known = model.find(token.content);
    const std::int64_t expected = known >= 0 ? known : next;
    if (token.id != expected) {
      fields.fail("id",
                  message(expected, known >= 0 ? ", which the model's vocabulary gives " : ", the next free one, for ",
                          quoted(token.content)));
    }
    next += known < 0;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// The model's tokens and those that only added tokens bring.
inline Vocabulary joined(const Vocabulary& model, const std::vector<AddedToken>& added, std::string_view where) {
  std::vector<Vocabulary::Entry> entries = model.entries();
  for (const AddedToken& token : added) {
    if (model.find(token.content) < 0) entries.push_back({token.content, token.id});
  }
  return Vocabulary(entries, where);
}

/// Two added tokens with one normal form are an error: which of them the reference then finds is left to chance.
inline void set_added_tokens(Stages& stages, const std::vector<AddedToken>& tokens, std::string_view where) {
  std::vector<AddedToken> raw, normalized;
  std::vector<std::string> raw_patterns, normalized_patterns;
  std::unordered_map<std::string, const AddedToken*> first_of;  // by normal form
  for (const AddedToken& token : tokens) {
    if (token.special) stages.special_ids.insert(token.id);
    if (!token.normalized) {
      raw.push_back(token);
      raw_patterns.push_back(token.content);
      continue;
    }
    AlignedText pattern;
    stages.normalizer->normalize(token.content, 0, pattern);
    if (pattern.bytes.empty()) {
      throw FormatError(message(where, ": nothing is left of added token ", quoted(token.content),
                                " after normalization; set its \"normalized\" to false"));
    }
    const auto [same, fresh] = first_of.emplace(pattern.bytes, &token);
    if (!fresh) {
      throw FormatError(message(where, ": added tokens ", quoted(same->second->content), " and ", quoted(token.content),
                                " are equal after normalization; remove one, or set its \"normalized\" to false"));
    }
    normalized.push_back(token);
    normalized_patterns.push_back(std::move(pattern.bytes));
  }
  stages.raw_tokens = AddedTokenMatcher(std::move(raw), raw_patterns);
  stages.normalized_tokens = AddedTokenMatcher(std::move(normalized), normalized_patterns);
}

/// The ids that the template's special token `name` stands for, each checked against the vocabulary.
inline std::vector<std::int32_t> special_token_ids(const JsonFields& processor, const std::string& name,
                                                   const Vocabulary& vocabulary) {
  const JsonFields table = processor.object("special_tokens");
  if (!table.has(name)) {
    throw FormatError(
        message(processor.where(), ": the template uses ", quoted(name), ", which \"special_tokens\" does not define"));
  }
  const JsonFields fields = table.object(name);
  const Json& ids = fields.value("ids");
  const std::vector<std::string> tokens = fields.texts("tokens");
  if (!ids.is_array() || ids.size() != tokens.size()) {
    fields.fail("ids", message("an array of ", tokens.size(), " ids, one for each of \"tokens\""));
  }
  std::vector<std::int32_t> out;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto id = vocabulary.id(tokens[i]);
    if (!id || ids[i] != *id) {
      throw FormatError(
          message(fields.where(), ": token ", quoted(tokens[i]), " has id ", described(ids[i]),
                  id ? message(" here and ", *id, " in the vocabulary") : " and is not in the vocabulary"));
    }
    out.push_back(*id);
  }
  return out;
}

inline std::vector<Template::Step> read_template(const JsonFields& processor, std::string_view name,
                                                 const Vocabulary& vocabulary) {
  const Json& list = processor.value(name);
  if (!list.is_array()) processor.fail(name, "an array");
  std::vector<Template::Step> steps;
  int first = 0, second = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const JsonFields step(list[i], message(processor.where(), ": \"", name, "\"[", i, "]"));
    const bool special = step.has("SpecialToken");
    const JsonFields fields = step.object(special ? "SpecialToken" : "Sequence");
    const auto type_id = static_cast<std::int32_t>(fields.integer("type_id", 0, INT32_MAX));
    const std::string id = fields.text("id");
    if (special) {
      for (const std::int32_t token : special_token_ids(processor, id, vocabulary)) {
        steps.push_back({Template::Kind::special, type_id, token});
      }
    } else {
      if (id != "A" && id != "B") fields.fail("id", "\"A\" or \"B\"");
      ++(id == "A" ? first : second);
      steps.push_back({id == "A" ? Template::Kind::first : Template::Kind::second, type_id, 0});
    }
  }
  const int wanted_second = name == "pair";
  if (first != 1 || second != wanted_second) {
    processor.fail(name, wanted_second ? "a template with \"A\" and \"B\" once each" : "a template with \"A\" once");
  }
  return steps;
}

/// [CLS] A [SEP] and [CLS] A [SEP] B [SEP].
inline Template bert_template(std::int32_t cls, std::int32_t sep) {
  using Kind = Template::Kind;
  Template out;
  out.single = {{Kind::special, 0, cls}, {Kind::first, 0, 0}, {Kind::special, 0, sep}};
  out.pair = out.single;
  out.pair.push_back({Kind::second, 1, 0});
  out.pair.push_back({Kind::special, 1, sep});
  return out;
}

inline std::int32_t read_bert_token(const JsonFields& fields, std::string_view name, const Vocabulary& vocabulary) {
  const Json& value = fields.value(name);
  if (!value.is_array() || value.size() != 2 || !value[0].is_string()) fields.fail(name, "a token and its id");
  const auto& token = value[0].get_ref<const std::string&>();
  const auto id = vocabulary.id(token);
  if (!id || value[1] != *id)
    fields.fail(name, message("a token with its id in the vocabulary; ", quoted(token),
                              id ? message(" has ", *id) : " is not there"));
  return *id;
}

inline Template read_post_processor(const JsonFields& file, const Vocabulary& vocabulary) {
  if (!file.has("post_processor")) return {};
  const JsonFields fields = file.object("post_processor");
  const std::string type = fields.text("type");
  if (type == "BertProcessing") {
    return bert_template(read_bert_token(fields, "cls", vocabulary), read_bert_token(fields, "sep", vocabulary));
  }
  if (type != "TemplateProcessing") {
    unsupported(fields, type, "supported are TemplateProcessing, BertProcessing and null");
  }
  return {read_template(fields, "single", vocabulary), read_template(fields, "pair", vocabulary)};
}

inline Stages load_tokenizer_json(const std::filesystem::path& path, const BertTextSettings& config) {
  const Json json = read_json(path);
  const JsonFields file(json, path.string());
  if (file.text("version", "1.0") != "1.0") file.fail("version", "\"1.0\"");
  Stages stages;
  stages.normalizer = read_normalizer(file, config);
  stages.pre_tokenizer = read_pre_tokenizer(file);
  stages.model = read_model(file);
  stages.decoder = read_decoder(file);
  const std::vector<AddedToken> added = read_added_tokens(file, stages.model->vocabulary());
  stages.vocabulary = joined(stages.model->vocabulary(), added, file.where());
  set_added_tokens(stages, added, file.where());
  stages.post_processor = read_post_processor(file, stages.vocabulary);
  if (file.has("truncation")) {
    stages.file_max_length = static_cast<std::size_t>(file.object("truncation").integer("max_length", 0, INT64_MAX));
  }
  return stages;
}

/// A token a line, its id the line's number from 0; white space at a line's end does not count.
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
  return Vocabulary(entries, path.string());
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
  stages.decoder = std::make_unique<WordPieceDecoder>("##", true);
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
  if (!std::filesystem::exists(path)) throw FileError(message(path.string(), ": there is no such file or directory"));
  throw OptionError(message(path.string(),
                            ": graft reads tokenizer.json and vocab.txt files, told apart by .json and "
                            ".txt"));
}

}  // namespace graft::detail
