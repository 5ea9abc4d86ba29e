#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/text/detail/pre_tokenizers.hpp"
#include "graft/text/detail/read_pre_tokenizer.hpp"

namespace graft::detail {

/// How a byte-level vocabulary in a GGUF file cuts text, by the name that the file gives its pre-tokenizer.
struct GgufPreTokenizer {
  std::vector<std::string_view> names;        ///< that llama.cpp takes for one another
  std::vector<std::string_view> expressions;  ///< one after another; each match is a word of its own
  bool whole_words = false;                   ///< a word in the vocabulary is its token, whatever the merges say
  bool begins = false;                        ///< a text begins with the begin token, where the file does not say
  bool nfc = false;                           ///< text is composed first
};

/// Those that graft knows, as llama.cpp has them: its names, and the expressions of the models' own tokenizers.
inline const std::vector<GgufPreTokenizer>& gguf_pre_tokenizers() {
  constexpr std::string_view gpt2 = Gpt2Pattern::expression, llama3 = Llama3Pattern<3>::expression,
                             qwen2 = Llama3Pattern<1>::expression, digit = R"(\p{N})",
                             not_between = R"( ?[^(\s|.,!?…。，、।۔،)]+)", cjk = "[一-龥぀-ゟ゠-ヿ]+";
  // Of words in mixed case, as o200k has them: capitals, then small letters; or capitals alone.
  constexpr std::string_view tekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                      R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view gpt4o =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view deepseek3 =
      R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
      R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view seed_coder =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view bailing =
      R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
  constexpr std::string_view qwen35 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)"
      R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view exaone_moe =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}|)"
      R"( ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";
  constexpr std::string_view without_contractions =
      R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const std::vector<GgufPreTokenizer> known{
      {.names = {"gpt-2",      "gpt2",         "phi-2",       "jina-es",  "jina-de",         "jina-v1-en", "jina-v2-es",
                 "jina-v2-de", "jina-v2-code", "roberta-bpe", "gigachat", "a.x-4.0",         "mellum",     "exaone4",
                 "mpt",        "olmo",         "jais",        "trillion", "granite-docling", "modern-bert"},
       .expressions = {gpt2}},
      {.names = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
       .expressions = {digit, gpt2}},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                 "jina-v5-nano"},
       .expressions = {llama3},
       .whole_words = true,
       .begins = true},
      {.names = {"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"}, .expressions = {llama3}},
      {.names = {"qwen2", "deepseek-r1-qwen", "megrez", "kormo", "f2llmv2"}, .expressions = {qwen2}, .nfc = true},
      {.names = {"stablelm2", "hunyuan", "grok-2", "solar-open"}, .expressions = {qwen2}},
      {.names = {"tekken"}, .expressions = {tekken}, .whole_words = true, .begins = true},
      {.names = {"gpt-4o", "llama4", "minimax-m2", "kanana2", "talkie"}, .expressions = {gpt4o}},
      {.names = {"deepseek-coder"},
       .expressions = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", digit}},
      {.names = {"deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"},
       .expressions = {R"(\p{N}{1,3})", cjk, deepseek3}},
      {.names = {"falcon"}, .expressions = {R"([\p{P}\$\+<=>\^~\|`]+)", gpt2, "[0-9][0-9][0-9]"}},
      {.names = {"bloom", "poro-chat", "gpt3-finnish"}, .expressions = {not_between}},
      {.names = {"viking"}, .expressions = {not_between, digit}},
      {.names = {"tiny_aya", "cohere2moe"}, .expressions = {R"(\d{1,3}(?=(?:\d{3})*\b))", gpt4o}},
      {.names = {"laguna"}, .expressions = {"[^\n]+|[\n]+", qwen2}},
      {.names = {"qwen35"}, .expressions = {qwen35}, .nfc = true},
      {.names = {"exaone-moe"}, .expressions = {exaone_moe}},
      {.names = {"ufakzeka"}, .expressions = {without_contractions}},
      {.names = {"seed-coder"}, .expressions = {seed_coder}},
      {.names = {"bailingmoe", "bailingmoe2", "llada-moe"}, .expressions = {bailing}},
      {.names = {"superbpe"}, .expressions = {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}},
      {.names = {"default"}, .expressions = {R"([\p{P}\$\+<=>\^~\|]+)", gpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
  return known;
}

/// The one of that name; null if graft does not know it.
inline const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name) {
  for (const GgufPreTokenizer& each : gguf_pre_tokenizers()) {
    if (std::find(each.names.begin(), each.names.end(), name) != each.names.end()) return &each;
  }
  return nullptr;
}

inline std::unique_ptr<const PreTokenizer> pre_tokenizer_of(const GgufPreTokenizer& kind) {
  PreTokenizerParts parts;
  for (const std::string_view expression : kind.expressions) {
    auto step = find_pattern<Gpt2Pattern, Llama3Pattern<1>, Llama3Pattern<3>>(expression);
    if (!step && expression == R"(\p{N})") step = std::make_unique<PatternPreTokenizer<DigitsPattern<1>>>();
    if (!step) {
      step = std::make_unique<SplitPreTokenizer<FindExpression>>(
          FindExpression{TextExpression(std::string(expression))}, SplitBehavior::isolated);
    }
    parts.steps.push_back(std::move(step));
  }
  return joined(std::move(parts));
}

}  // namespace graft::detail
