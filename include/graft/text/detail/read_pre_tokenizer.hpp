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
#include "graft/text/detail/bert_pre_tokenizer.hpp"
#include "graft/text/detail/pre_tokenizers.hpp"
#include "graft/text/detail/read_pattern.hpp"
#include "graft/text/detail/unsupported.hpp"

namespace graft::detail {

/// The steps of a pre-tokenizer. Where it ends in ByteLevel the step that spells the bytes is left to the model's
/// reader: byte-level BPE takes the bytes themselves.
struct PreTokenizerParts {
  std::vector<std::unique_ptr<const PreTokenizer>> steps;
  bool byte_level = false;

  void add_rewrite(std::unique_ptr<const Rewrite> step) {
    steps.push_back(std::make_unique<RewritePreTokenizer>(std::move(step)));
  }
  void spell_bytes() {
    if (std::exchange(byte_level, false)) add_rewrite(spell_bytes_rewrite());
  }
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
  const SplitBehavior behavior = read_split_behavior(fields);
  const bool invert = fields.boolean("invert");
  // The known expressions match all of a text: to keep the matches and to remove what lies between is the same.
  if (behavior == (invert ? SplitBehavior::removed : SplitBehavior::isolated)) {
    const std::string expression = fields.object("pattern").text("Regex", "");
    if (auto found = find_pattern<Gpt2Pattern, Llama3Pattern<1>, Llama3Pattern<3>>(expression)) return found;
  }
  return with_pattern(fields, [&](auto find) -> std::unique_ptr<const PreTokenizer> {
    return std::make_unique<SplitPreTokenizer<decltype(find)>>(std::move(find), behavior, invert);
  });
}

inline std::unique_ptr<const PreTokenizer> split_at_characters(SplitBehavior behavior, auto holds) {
  return std::make_unique<SplitPreTokenizer<FindCharacters<decltype(holds)>>>(
      FindCharacters<decltype(holds)>{std::move(holds)}, behavior);
}

inline std::unique_ptr<const PreTokenizer> split_at_flag(SplitBehavior behavior, std::uint16_t flag) {
  return split_at_characters(behavior,
                             [flag](char32_t c) { return (CodePointTable::instance().flags(c) & flag) != 0; });
}

/// A field that holds one character.
inline std::string read_character(const JsonFields& fields, std::string_view name) {
  std::string text = fields.text(name);
  if (text.empty() || decode_valid_utf8(text.data()).length != text.size()) fields.fail(name, "one character");
  return text;
}

inline std::unique_ptr<const PreTokenizer> read_metaspace(const JsonFields& fields) {
  const bool old_prefix = fields.boolean("add_prefix_space", true);
  const std::string scheme = fields.text("prepend_scheme", old_prefix ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    fields.fail("prepend_scheme", "always, first or never");
  }
  const auto prefix = scheme == "always"  ? MetaspacePrefix::always
                      : scheme == "first" ? MetaspacePrefix::first
                                          : MetaspacePrefix::never;
  return std::make_unique<Metaspace>(read_character(fields, "replacement"), prefix, fields.boolean("split", true));
}

inline void read_pre_tokenizer_steps(const JsonFields& fields, PreTokenizerParts& parts) {
  const std::string type = fields.text("type");
  if (type != "Sequence") parts.spell_bytes();
  const auto add = [&parts](auto step) { parts.steps.push_back(std::move(step)); };
  if (type == "BertPreTokenizer") {
    add(std::make_unique<BertPreTokenizer>());
  } else if (type == "Whitespace") {
    add(std::make_unique<WhitespacePreTokenizer>());
  } else if (type == "WhitespaceSplit") {
    add(split_at_flag(SplitBehavior::removed, kWhiteSpace));
  } else if (type == "Punctuation") {
    add(split_at_flag(fields.has("behavior") ? read_split_behavior(fields) : SplitBehavior::isolated, kPunctuation));
  } else if (type == "Digits") {
    if (fields.boolean("individual_digits")) {
      add(std::make_unique<PatternPreTokenizer<DigitsPattern<1>>>());
    } else {
      add(std::make_unique<PatternPreTokenizer<DigitsPattern<SIZE_MAX>>>());
    }
  } else if (type == "CharDelimiterSplit") {
    const char32_t delimiter = decode_valid_utf8(read_character(fields, "delimiter").data()).code_point;
    add(split_at_characters(SplitBehavior::removed, [delimiter](char32_t c) { return c == delimiter; }));
  } else if (type == "Split") {
    add(read_split(fields));
  } else if (type == "UnicodeScripts") {
    add(std::make_unique<ScriptPreTokenizer>());
  } else if (type == "FixedLength") {
    add(std::make_unique<FixedLengthPreTokenizer>(static_cast<std::size_t>(fields.integer("length", 1, INT32_MAX))));
  } else if (type == "Metaspace") {
    add(read_metaspace(fields));
  } else if (type == "ByteLevel") {
    if (fields.boolean("add_prefix_space")) parts.add_rewrite(std::make_unique<PrefixSpace>());
    if (fields.boolean("use_regex", true)) add(std::make_unique<PatternPreTokenizer<Gpt2Pattern>>());
    parts.byte_level = true;
  } else if (type == "Sequence") {
    for_each_object(fields, "pretokenizers", [&](const JsonFields& step) { read_pre_tokenizer_steps(step, parts); });
  } else {
    unsupported(fields, type,
                "supported are BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, "
                "Punctuation, Sequence, Split, UnicodeScripts, Whitespace, WhitespaceSplit and null");
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
