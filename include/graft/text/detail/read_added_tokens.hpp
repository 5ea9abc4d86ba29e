#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/text/detail/pipeline.hpp"

namespace graft::detail {

inline constexpr std::int64_t largest_token_id = (1 << 24) - 1;

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

/// The model's tokens, which it has checked, and those that only added tokens bring.
inline Vocabulary joined(const Vocabulary& model, const std::vector<AddedToken>& added, std::string_view where) {
  std::vector<Vocabulary::Entry> entries = model.entries();
  for (const AddedToken& token : added) {
    if (model.find(token.content) < 0) entries.push_back({token.content, token.id});
  }
  return Vocabulary(entries, where, Vocabulary::Repeated::last);
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
    if (pattern.bytes != token.content) stages.normal_forms[token.id] = pattern.bytes;
    normalized.push_back(token);
    normalized_patterns.push_back(std::move(pattern.bytes));
  }
  stages.raw_tokens = AddedTokenMatcher(std::move(raw), raw_patterns);
  stages.normalized_tokens = AddedTokenMatcher(std::move(normalized), normalized_patterns);
}

}  // namespace graft::detail
