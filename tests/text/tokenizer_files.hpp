#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "support/temporary_directory.hpp"

namespace graft {

inline constexpr std::string_view bert_uncased =
    R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
        "lowercase": true})";

/// The text of a WordPiece tokenizer.json whose ids count the tokens, with [CLS] and [SEP] around the text.
inline Json tokenizer_json_of(const std::vector<std::string>& vocabulary, std::string_view normalizer = bert_uncased,
                              std::string_view added_tokens = "[]") {
  Json ids = Json::object();
  for (std::size_t i = 0; i < vocabulary.size(); ++i) ids[vocabulary[i]] = i;
  const auto special = [&](const char* token) {
    return Json{{"id", token}, {"ids", {ids[token]}}, {"tokens", {token}}};
  };
  Json processor = Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
      "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]})");
  processor["special_tokens"] = {{"[CLS]", special("[CLS]")}, {"[SEP]", special("[SEP]")}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::parse(added_tokens)},
          {"normalizer", Json::parse(normalizer)},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", processor},
          {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100},
            {"vocab", ids}}}};
}

/// A directory that holds tokenizer_json_of() as tokenizer.json.
struct TokenizerJson : TemporaryDirectory {
  explicit TokenizerJson(const Json& json) { write_file(path() / "tokenizer.json", json.dump()); }
};

inline TokenizerJson tokenizer_json(const std::vector<std::string>& vocabulary,
                                    std::string_view normalizer = bert_uncased, std::string_view added_tokens = "[]") {
  return TokenizerJson(tokenizer_json_of(vocabulary, normalizer, added_tokens));
}

}  // namespace graft
