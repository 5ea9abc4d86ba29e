#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/core/utf8.hpp"
#include "graft/io/gguf.hpp"
#include "graft/text/detail/load_gguf_tokenizer.hpp"
#include "graft/text/gguf_tokenizer_files.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE Json model_json(const Vocabulary& vocabulary, std::vector<BpeMerge> merges) {
  std::map<std::string, std::int32_t> ids;  // a map: a JSON object of strings is one too, and takes it over in order
  for (Vocabulary::Entry& entry : vocabulary.entries())
    if (vocabulary.find(entry.token) == entry.id) ids.emplace(std::move(entry.token), entry.id);
  std::vector<Json> pairs;
  for (BpeMerge& merge : merges) pairs.push_back(Json::array({std::move(merge.left), std::move(merge.right)}));
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(ids)},
          {"merges", std::move(pairs)}};
}

/// Pre-tokenizer, normalizer, model and decoder of a byte-level vocabulary.
GRAFT_INLINE Json byte_level_json(const GgufVocabulary& file) {
  GgufByteLevel read(file);
  Json cuts = Json::array();
  for (const std::string_view expression : read.kind->expressions) {
    if (expression == R"(\p{N})") {  // not by the tables of the expressions' library, which are of another Unicode
      cuts.push_back({{"type", "Digits"}, {"individual_digits", true}});
      continue;
    }
    cuts.push_back({{"type", "Split"},
                    {"pattern", Json::object({{"Regex", expression}})},
                    {"behavior", "Isolated"},
                    {"invert", false}});
  }
  const Json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  cuts.push_back(bytes);
  Json model = model_json(read.vocabulary, std::move(read.merges));
  model["ignore_merges"] = read.kind->whole_words;
  return {{"normalizer", read.kind->nfc ? Json::object({{"type", "NFC"}}) : Json()},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", std::move(cuts)}}},
          {"model", std::move(model)},
          {"decoder", bytes}};
}

/// The same of a SentencePiece vocabulary.
GRAFT_INLINE Json sentencepiece_json(GgufVocabulary& file) {
  GgufSentencePiece read(file);
  if (read.leftmost_first)
    file.data.fail("tokenizer.ggml.scores", "there, or \"tokenizer.ggml.merges\", for a tokenizer.json");
  const std::string sign(Metaspace::sign);
  Json model = model_json(read.vocabulary, std::move(read.merges));
  if (read.unknown_token) model["unk_token"] = *read.unknown_token;
  model["fuse_unk"] = model["byte_fallback"] = true;
  Json steps = Json::array({{{"type", "Replace"}, {"pattern", Json::object({{"String", sign}})}, {"content", " "}},
                            Json::object({{"type", "ByteFallback"}}),
                            Json::object({{"type", "Fuse"}})});
  if (read.prefix) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "Metaspace"},
            {"replacement", sign},
            {"prepend_scheme", read.prefix ? "first" : "never"},
            {"split", false}}},
          {"model", std::move(model)},
          {"decoder", {{"type", "Sequence"}, {"decoders", std::move(steps)}}}};
}

GRAFT_INLINE Json added_tokens_json(const GgufVocabulary& file) {
  Json list = Json::array();
  for (const AddedToken& token : file.added_tokens(file.vocabulary()))
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  return list;
}

GRAFT_INLINE Json template_json(const GgufVocabulary& file, const Template& around) {
  Json special = Json::object();
  const auto steps = [&](const std::vector<Template::Step>& steps) {
    Json list = Json::array();
    for (const Template::Step& step : steps) {
      if (step.kind != Template::Kind::special) {
        const char* which = step.kind == Template::Kind::first ? "A" : "B";
        list.push_back(Json::object({{"Sequence", {{"id", which}, {"type_id", step.type_id}}}}));
        continue;
      }
      const std::string& token = file.entries[static_cast<std::size_t>(step.id)].token;
      special[token] = {{"id", token}, {"ids", Json::array({step.id})}, {"tokens", Json::array({token})}};
      list.push_back(Json::object({{"SpecialToken", {{"id", token}, {"type_id", step.type_id}}}}));
    }
    return list;
  };
  Json single = steps(around.single), pair = steps(around.pair);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(special)}};
}

GRAFT_INLINE Json tokenizer_config_json(const GgufVocabulary& file) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  for (const auto& [field, name] :
       {std::pair("bos_token", "bos"), std::pair("eos_token", "eos"), std::pair("unk_token", "unknown"),
        std::pair("pad_token", "padding"), std::pair("mask_token", "mask")})
    if (const auto id = file.token_id(name)) config[field] = file.entries[static_cast<std::size_t>(*id)].token;
  if (file.data.has("tokenizer.chat_template")) {
    const std::string_view text = file.data.text("tokenizer.chat_template");
    if (!is_utf8(text)) file.data.fail("tokenizer.chat_template", "UTF-8");
    config["chat_template"] = text;
  }
  const std::string length = message(file.data.text("general.architecture", ""), ".context_length");
  if (file.data.has(length)) config["model_max_length"] = file.data.integer(length, 1, std::int64_t{1} << 31);
  return config;
}

GRAFT_INLINE Json generation_config_json(const GgufVocabulary& file) {
  Json config = Json::object(), ends = Json::array();
  for (const char* name : {"eos", "eot"})
    if (const auto id = file.token_id(name); id && !std::ranges::count(ends, Json(*id))) ends.push_back(*id);
  if (!ends.empty()) config["eos_token_id"] = ends.size() == 1 ? ends.front() : ends;
  if (const auto id = file.token_id("bos")) config["bos_token_id"] = *id;
  if (const auto id = file.token_id("padding")) config["pad_token_id"] = *id;
  return config;
}

}  // namespace detail

GRAFT_INLINE std::map<std::string, std::string> gguf_tokenizer_files(const std::filesystem::path& gguf) {
  const detail::Stages checked = detail::load_gguf_tokenizer(gguf);
  const GgufFile opened(gguf);
  detail::GgufVocabulary file(opened.metadata());
  const bool bytes = file.data.text("tokenizer.ggml.model") == "gpt2";
  Json tokenizer = bytes ? detail::byte_level_json(file) : detail::sentencepiece_json(file);
  tokenizer["version"] = "1.0";
  tokenizer["truncation"] = tokenizer["padding"] = nullptr;
  tokenizer["added_tokens"] = detail::added_tokens_json(file);
  tokenizer["post_processor"] = detail::template_json(file, checked.post_processor);
  return {{"tokenizer.json", tokenizer.dump()},
          {"tokenizer_config.json", json_text(detail::tokenizer_config_json(file))},
          {"generation_config.json", json_text(detail::generation_config_json(file))}};
}

}  // namespace graft
