#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/text/detail/added_tokens.hpp"
#include "graft/text/detail/offset_trimmer.hpp"
#include "graft/text/detail/template.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// What one encode() works in; kept from text to text so that memory is asked for once.
struct Scratch {
  AlignedText normalized, rewritten;
  std::vector<TextRange> words;
  std::vector<Token> first, second;
};

/// What of EncodeOptions concerns the text itself.
struct TextOptions {
  bool special_tokens = true;
  bool strict_utf8 = false;
};

/// The parts of a loaded tokenizer. None is null.
struct Stages {
  Vocabulary vocabulary;  ///< the model's and the added tokens
  std::unique_ptr<const Normalizer> normalizer;
  std::unique_ptr<const PreTokenizer> pre_tokenizer;
  std::unique_ptr<const SubwordModel> model;
  std::unique_ptr<const Decoder> decoder;
  Template post_processor;
  OffsetTrimmer trimmer;
  AddedTokenMatcher raw_tokens;         ///< looked for in the text as it is
  AddedTokenMatcher normalized_tokens;  ///< looked for in normalized text
  std::unordered_set<std::int32_t> special_ids;
  std::optional<std::size_t> file_max_length;

  /// Replaces `tokens` by those of `text`, without special tokens around it.
  void tokenize(std::string_view text, TextOptions options, Scratch& scratch, std::vector<Token>& tokens) const;

  /// The same with nothing special in the text, which, unless it is the `first`, stands behind other text: no space is
  /// put in front where a tokenizer does so at the beginning only. The tokens' ranges mean nothing.
  void tokenize_plain(std::string_view text, bool first, Scratch& scratch, std::vector<Token>& tokens) const;

 private:
  void tokenize_valid(std::string_view text, bool special, Scratch& scratch, std::vector<Token>& tokens) const;
  void tokenize_part(std::string_view part, std::uint32_t shift, bool special, Scratch& scratch,
                     std::vector<Token>& tokens) const;
  void tokenize_words(TextRange part, Scratch& scratch, std::vector<Token>& tokens) const;
};

/// A text made valid by U+FFFD in the place of each maximal subpart that is not UTF-8, and the way back to its bytes.
class RepairedText {
 public:
  explicit RepairedText(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = decode_utf8(text, at);
      const auto begin = static_cast<std::uint32_t>(at);
      repaired_.append(step.code_point, {begin, begin + step.length});
      at += step.length;
    }
  }

  std::string_view text() const { return repaired_.bytes; }
  TextRange original(TextRange range) const {
    return {range.begin < repaired_.origin.size() ? repaired_.origin[range.begin].begin : 0,
            range.end > 0 ? repaired_.origin[range.end - 1].end : 0};
  }

 private:
  AlignedText repaired_;
};

inline void Stages::tokenize(std::string_view text, TextOptions options, Scratch& scratch,
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

inline void Stages::tokenize_plain(std::string_view text, bool first, Scratch& scratch,
                                   std::vector<Token>& tokens) const {
  if (first || text.size() > UINT32_MAX / 3) return tokenize(text, {.special_tokens = false}, scratch, tokens);
  if (find_invalid_utf8(text) != std::string_view::npos) {
    const RepairedText repaired(text);
    return tokenize_plain(repaired.text(), first, scratch, tokens);
  }
  tokens.clear();
  raw_tokens.cut(
      text, false,
      [&](const AddedToken& token, TextRange range) {
        tokens.push_back({token.id, range});
      },
      [&](TextRange range) {
        tokenize_part(text.substr(range.begin, range.end - range.begin), range.begin + 1, false, scratch, tokens);
      });
}

inline void Stages::tokenize_valid(std::string_view text, bool special, Scratch& scratch,
                                   std::vector<Token>& tokens) const {
  raw_tokens.cut(
      text, special,
      [&](const AddedToken& token, TextRange range) {
        tokens.push_back({token.id, range});
      },
      [&](TextRange range) {
        tokenize_part(text.substr(range.begin, range.end - range.begin), range.begin, special, scratch, tokens);
      });
  trimmer.trim(text, vocabulary, tokens);
}

inline void Stages::tokenize_part(std::string_view part, std::uint32_t shift, bool special, Scratch& scratch,
                                  std::vector<Token>& tokens) const {
  scratch.normalized.clear();
  normalizer->normalize(part, shift, scratch.normalized);
  normalized_tokens.cut(
      scratch.normalized.bytes, special,
      [&](const AddedToken& token, TextRange range) {
        tokens.push_back({token.id, scratch.normalized.origin_of(range)});
      },
      [&](TextRange range) { tokenize_words(range, scratch, tokens); });
}

/// Of a part of the normalized text.
inline void Stages::tokenize_words(TextRange part, Scratch& scratch, std::vector<Token>& tokens) const {
  const AlignedText* text = &scratch.normalized;
  if (pre_tokenizer->rewrites()) {
    scratch.rewritten.bytes.assign(text->bytes, part.begin, part.end - part.begin);
    scratch.rewritten.origin.assign(text->origin.begin() + part.begin, text->origin.begin() + part.end);
    text = &scratch.rewritten;
    pre_tokenizer->rewrite(scratch.rewritten);
    part = {0, static_cast<std::uint32_t>(scratch.rewritten.bytes.size())};
  }
  scratch.words.clear();
  pre_tokenizer->split(*text, part, scratch.words);
  const std::size_t before = tokens.size();
  model->encode(text->bytes, scratch.words, tokens);
  for (std::size_t i = before; i < tokens.size(); ++i) tokens[i].range = text->origin_of(tokens[i].range);
}

}  // namespace graft::detail
