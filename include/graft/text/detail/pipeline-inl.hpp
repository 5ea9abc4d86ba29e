#pragma once

#include "graft/core/utf8.hpp"
#include "graft/text/detail/pipeline.hpp"

namespace graft::detail {

GRAFT_INLINE void Stages::tokenize(std::string_view text, TextOptions options, Scratch& scratch,
                                   std::vector<Token>& tokens) const {
  if (text.size() > UINT32_MAX / 3) {  // U+FFFD has three bytes
    throw OptionError(message("a text of ", text.size(), " bytes; encode at most ", UINT32_MAX / 3, " at once"));
  }
  tokens.clear();
  const std::size_t invalid = find_invalid_utf8(text);
  if (invalid == std::string_view::npos) return tokenize_valid(text, options.special_tokens, scratch, tokens);
  if (options.strict_utf8) {
    throw FormatError(
        message("byte ", invalid, " of the text is not UTF-8; convert it, or encode without strict_utf8"));
  }
  const RepairedText repaired(text);
  tokenize_valid(repaired.text(), options.special_tokens, scratch, tokens);
  for (Token& token : tokens) token.range = repaired.original(token.range);
}

GRAFT_INLINE void Stages::tokenize_plain(std::string_view text, bool first, Scratch& scratch,
                                         std::vector<Token>& tokens) const {
  if (first || text.size() > UINT32_MAX / 3) return tokenize(text, {.special_tokens = false}, scratch, tokens);
  if (!is_utf8(text)) {
    const RepairedText repaired(text);
    return tokenize_plain(repaired.text(), first, scratch, tokens);
  }
  tokens.clear();
  scratch.original = {};
  raw_tokens.cut(
      text, false,
      [&](const AddedToken& token, TextRange range) {
        tokens.push_back({token.id, range});
      },
      [&](TextRange range) {
        tokenize_part(text.substr(range.begin, range.end - range.begin), range.begin + 1, false, scratch, tokens);
      });
}

GRAFT_INLINE void Stages::tokenize_valid(std::string_view text, bool special, Scratch& scratch,
                                         std::vector<Token>& tokens) const {
  scratch.original = trimmer.on ? text : std::string_view();
  raw_tokens.cut(
      text, special,
      [&](const AddedToken& token, TextRange range) {
        add(token.id, text.substr(range.begin, range.end - range.begin), range, scratch, tokens);
      },
      [&](TextRange range) {
        tokenize_part(text.substr(range.begin, range.end - range.begin), range.begin, special, scratch, tokens);
      });
}

GRAFT_INLINE void Stages::tokenize_part(std::string_view part, std::uint32_t shift, bool special, Scratch& scratch,
                                        std::vector<Token>& tokens) const {
  scratch.normalized.clear();
  normalizer->normalize(part, shift, scratch.normalized);
  normalized_tokens.cut(
      scratch.normalized.bytes, special,
      [&](const AddedToken& token, TextRange range) {
        const std::string_view spelled(scratch.normalized.bytes.data() + range.begin, range.end - range.begin);
        add(token.id, spelled, scratch.normalized.origin_of(range), scratch, tokens);
      },
      [&](TextRange range) { tokenize_words(range, scratch, tokens); });
}

GRAFT_INLINE void Stages::add(std::int32_t id, std::string_view spelled, TextRange range, const Scratch& scratch,
                              std::vector<Token>& tokens) const {
  if (!scratch.original.empty()) trimmer.trim(scratch.original, spelled, tokens.empty(), range);
  tokens.push_back({id, range});
}

/// Of a part of the normalized text.
GRAFT_INLINE void Stages::tokenize_words(TextRange part, Scratch& scratch, std::vector<Token>& tokens) const {
  const AlignedText* text = &scratch.normalized;
  scratch.words.clear();
  if (pre_tokenizer->rewrites()) {
    scratch.rewritten.bytes.assign(text->bytes, part.begin, part.end - part.begin);
    scratch.rewritten.origin.assign(text->origin.begin() + part.begin, text->origin.begin() + part.end);
    text = &scratch.rewritten;
    pre_tokenizer->cut(scratch.rewritten, scratch.words);
  } else {
    pre_tokenizer->split(*text, part, scratch.words);
  }
  const std::size_t before = tokens.size();
  model->encode(text->bytes, scratch.words, tokens);
  if (scratch.original.empty()) {
    for (std::size_t i = before; i < tokens.size(); ++i) tokens[i].range = text->origin_of(tokens[i].range);
    return;
  }
  for (std::size_t i = before; i < tokens.size(); ++i) {
    Token& token = tokens[i];
    const std::string_view spelled =
        model->spelled_as_text(token.id)
            ? std::string_view(text->bytes).substr(token.range.begin, token.range.end - token.range.begin)
            : *vocabulary.token(token.id);
    token.range = text->origin_of(token.range);
    trimmer.trim(scratch.original, spelled, i == 0, token.range);
  }
}

}  // namespace graft::detail
