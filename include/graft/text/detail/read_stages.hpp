#pragma once

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
#include "graft/core/json.hpp"
#include "graft/text/detail/bert_normalizer.hpp"
#include "graft/text/detail/bert_pre_tokenizer.hpp"
#include "graft/text/detail/pre_tokenizers.hpp"
#include "graft/text/detail/rewrites.hpp"
#include "graft/text/detail/unsupported.hpp"

namespace graft::detail {

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

/// {"String": ...}, not empty. Regular expressions of a file are not run: they can take for ever.
inline std::string read_string_pattern(const JsonFields& component) {
  const JsonFields pattern = component.object("pattern");
  if (!pattern.has("String")) {
    throw FormatError(message(component.where(), ": pattern ", quoted(pattern.text("Regex")),
                              " is not supported here; supported is a String"));
  }
  const std::string text = pattern.text("String");
  if (text.empty()) pattern.fail("String", "a text that is not empty");
  return text;
}

inline std::unique_ptr<const Normalizer> read_bert_normalizer(const JsonFields& fields,
                                                              const BertTextSettings& config) {
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

/// Adds the steps that the component asks for.
inline void read_rewrites(const JsonFields& fields, Growth& growth,
                          std::vector<std::unique_ptr<const Rewrite>>& steps) {
  const std::string type = fields.text("type");
  if (type == "NFC") {
    steps.push_back(std::make_unique<NfcRewrite>());
  } else if (type == "Prepend") {
    std::string prefix = fields.text("prepend");
    if (prefix.size() > 64) fields.fail("prepend", "at most 64 bytes long");
    steps.push_back(std::make_unique<Prepend>(std::move(prefix)));
  } else if (type == "Replace") {
    std::string pattern = read_string_pattern(fields), content = fields.text("content");
    growth.replace(fields, pattern, content);
    steps.push_back(std::make_unique<Replace>(std::move(pattern), std::move(content)));
  } else if (type == "Sequence") {
    for_each_object(fields, "normalizers", [&](const JsonFields& step) { read_rewrites(step, growth, steps); });
  } else {
    unsupported(fields, type, "supported are BertNormalizer alone, NFC, Prepend, Replace, Sequence and null");
  }
}

inline std::unique_ptr<const Normalizer> read_normalizer(const JsonFields& file, const BertTextSettings& config) {
  if (!file.has("normalizer")) return std::make_unique<PlainNormalizer>();
  const JsonFields fields = file.object("normalizer");
  if (fields.text("type") == "BertNormalizer") return read_bert_normalizer(fields, config);
  std::vector<std::unique_ptr<const Rewrite>> steps;
  Growth growth;
  read_rewrites(fields, growth, steps);
  if (steps.empty()) return std::make_unique<PlainNormalizer>();
  return std::make_unique<RewritingNormalizer>(std::move(steps));
}

/// The pre-tokenizer, and whether it ends in ByteLevel.
struct PreTokenizerParts {
  std::vector<std::unique_ptr<const PreTokenizer>> steps;
  bool byte_level = false;
};

/// For a regular expression of the known ones; nullptr for any other.
template <class... Patterns>
std::unique_ptr<const PreTokenizer> find_pattern(std::string_view expression) {
  std::unique_ptr<const PreTokenizer> found;
  const auto try_one = [&]<class WordPattern>(const WordPattern&) {
    if (WordPattern::expression == expression) found = std::make_unique<PatternPreTokenizer<WordPattern>>();
  };
  (try_one(Patterns()), ...);
  return found;
}

inline std::unique_ptr<const PreTokenizer> read_split(const JsonFields& fields) {
  const std::string behavior = fields.text("behavior");
  const bool invert = fields.boolean("invert");
  const JsonFields pattern = fields.object("pattern");
  if (pattern.has("String")) {
    if (behavior != "MergedWithPrevious" || invert) {
      unsupported(fields, behavior, "supported with a String is MergedWithPrevious, not inverted");
    }
    return std::make_unique<DelimiterPreTokenizer>(read_string_pattern(fields));
  }
  const std::string expression = pattern.text("Regex");
  auto found = find_pattern<Gpt2Pattern, Llama3Pattern<1>, Llama3Pattern<3>>(expression);
  if (!found) {
    throw FormatError(message(fields.where(), ": the expression ", quoted(expression, 1000),
                              " is not one that graft knows; supported are those of GPT-2, Llama 3 and Qwen 2"));
  }
  // The expressions match all of a text: to keep the matches and to remove what lies between is the same.
  if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert)) {
    unsupported(fields, behavior, "supported with a Regex is Isolated, not inverted");
  }
  return found;
}

inline std::unique_ptr<const PreTokenizer> read_digits(const JsonFields& fields) {
  if (fields.boolean("individual_digits")) return std::make_unique<PatternPreTokenizer<DigitsPattern<1>>>();
  return std::make_unique<PatternPreTokenizer<DigitsPattern<SIZE_MAX>>>();
}

inline std::unique_ptr<const PreTokenizer> read_metaspace(const JsonFields& fields) {
  if (fields.text("replacement") != Metaspace::sign) fields.fail("replacement", "U+2581, the usual sign");
  const bool old_prefix = fields.boolean("add_prefix_space", true);
  const std::string scheme = fields.text("prepend_scheme", old_prefix ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    fields.fail("prepend_scheme", "always, first or never");
  }
  const auto prefix = scheme == "always"  ? MetaspacePrefix::always
                      : scheme == "first" ? MetaspacePrefix::first
                                          : MetaspacePrefix::never;
  return std::make_unique<Metaspace>(prefix, fields.boolean("split", true));
}

inline void read_pre_tokenizer_steps(const JsonFields& fields, PreTokenizerParts& parts) {
  const std::string type = fields.text("type");
  if (parts.byte_level) unsupported(fields, type, "nothing may come behind ByteLevel");
  const auto rewriting = [&] {
    if (!parts.steps.empty()) unsupported(fields, type, "a step that changes the text must be the first");
  };
  if (type == "BertPreTokenizer") {
    parts.steps.push_back(std::make_unique<BertPreTokenizer>());
  } else if (type == "Split") {
    parts.steps.push_back(read_split(fields));
  } else if (type == "Digits") {
    parts.steps.push_back(read_digits(fields));
  } else if (type == "Metaspace") {
    rewriting();
    parts.steps.push_back(read_metaspace(fields));
  } else if (type == "ByteLevel") {
    if (fields.boolean("add_prefix_space")) {
      rewriting();
      parts.steps.push_back(std::make_unique<PrefixSpace>());
    }
    if (fields.boolean("use_regex", true)) parts.steps.push_back(std::make_unique<PatternPreTokenizer<Gpt2Pattern>>());
    parts.byte_level = true;
  } else if (type == "Sequence") {
    for_each_object(fields, "pretokenizers", [&](const JsonFields& step) { read_pre_tokenizer_steps(step, parts); });
  } else {
    unsupported(fields, type, "supported are BertPreTokenizer, ByteLevel, Split, Digits, Metaspace, Sequence and null");
  }
}

inline PreTokenizerParts read_pre_tokenizer(const JsonFields& file) {
  PreTokenizerParts parts;
  if (file.has("pre_tokenizer")) read_pre_tokenizer_steps(file.object("pre_tokenizer"), parts);
  return parts;
}

inline std::unique_ptr<const PreTokenizer> joined(PreTokenizerParts parts) {
  if (parts.steps.empty()) return std::make_unique<WholePreTokenizer>();
  if (parts.steps.size() == 1) return std::move(parts.steps.front());
  return std::make_unique<PreTokenizerSequence>(std::move(parts.steps));
}

}  // namespace graft::detail
