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
#include "graft/text/detail/precompiled.hpp"
#include "graft/text/detail/read_pattern.hpp"
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

inline std::unique_ptr<const Rewrite> read_precompiled(const JsonFields& fields) {
  const auto rules = base64_bytes(fields.text("precompiled_charsmap"));
  if (!rules) fields.fail("precompiled_charsmap", "Base64");
  return named(fields.where(), [&] { return std::make_unique<Precompiled>(*rules); });
}

/// Adds the steps that the component asks for.
inline void read_rewrites(const JsonFields& fields, const BertTextSettings& config, Growth& growth,
                          std::vector<std::unique_ptr<const Rewrite>>& steps) {
  const std::string type = fields.text("type");
  const auto add = [&steps](auto step) { steps.push_back(std::move(step)); };
  if (type == "BertNormalizer") {
    add(std::make_unique<NormalizerRewrite>(read_bert_normalizer(fields, config)));
  } else if (type == "NFC") {
    add(std::make_unique<NormalFormRewrite>(NormalFormKind::nfc));
  } else if (type == "NFD") {
    add(std::make_unique<NormalFormRewrite>(NormalFormKind::nfd));
  } else if (type == "NFKC") {
    add(std::make_unique<NormalFormRewrite>(NormalFormKind::nfkc));
  } else if (type == "NFKD") {
    add(std::make_unique<NormalFormRewrite>(NormalFormKind::nfkd));
  } else if (type == "Lowercase") {
    add(lowercase_rewrite());
  } else if (type == "StripAccents") {
    add(strip_accents_rewrite());
  } else if (type == "Strip") {
    add(std::make_unique<StripRewrite>(fields.boolean("strip_left"), fields.boolean("strip_right")));
  } else if (type == "Nmt") {
    add(nmt_rewrite());
  } else if (type == "ByteLevel") {
    add(spell_bytes_rewrite());
  } else if (type == "Precompiled") {
    growth.rules(fields);
    add(read_precompiled(fields));
  } else if (type == "Prepend") {
    std::string prefix = fields.text("prepend");
    if (prefix.size() > 64) fields.fail("prepend", "at most 64 bytes long");
    add(std::make_unique<Prepend>(std::move(prefix)));
  } else if (type == "Replace") {
    read_replace(fields, growth, [&](auto find, std::string content) {
      add(std::make_unique<Replace<decltype(find)>>(std::move(find), std::move(content)));
    });
  } else if (type == "Sequence") {
    for_each_object(fields, "normalizers", [&](const JsonFields& step) { read_rewrites(step, config, growth, steps); });
  } else {
    unsupported(fields, type,
                "supported are BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, "
                "Replace, Sequence, Strip, StripAccents and null");
  }
}

inline std::unique_ptr<const Normalizer> read_normalizer(const JsonFields& file, const BertTextSettings& config) {
  if (!file.has("normalizer")) return std::make_unique<PlainNormalizer>();
  const JsonFields fields = file.object("normalizer");
  if (fields.text("type") == "BertNormalizer") return read_bert_normalizer(fields, config);
  std::vector<std::unique_ptr<const Rewrite>> steps;
  Growth growth;
  read_rewrites(fields, config, growth, steps);
  if (steps.empty()) return std::make_unique<PlainNormalizer>();
  return std::make_unique<RewritingNormalizer>(std::move(steps));
}

}  // namespace graft::detail
