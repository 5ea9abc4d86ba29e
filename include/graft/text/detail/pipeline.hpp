#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/text/detail/added_tokens.hpp"
#include "graft/text/detail/offset_trimmer.hpp"
#include "graft/text/detail/template.hpp"
#include "graft/text/stages.hpp"
#include "graft/text/vocabulary.hpp"

namespace graft::detail {

/// What one encode() works in; kept from text to text so that memory is asked for once.
struct Scratch {
  AlignedText normalized, rewritten;
  std::vector<TextRange> words;
  std::vector<Token> first, second;
  std::string_view original;  ///< the text, where ranges are trimmed
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
  std::unordered_map<std::int32_t, std::string>
      normal_forms;  ///< of added tokens, where it is not how they are written
  std::optional<std::size_t> file_max_length;

  /// The name of a token.
  std::optional<std::string_view> token(std::int32_t id) const {
    if (!normal_forms.empty()) {
      if (const auto found = normal_forms.find(id); found != normal_forms.end()) return found->second;
    }
    return vocabulary.token(id);
  }

  /// Replaces `tokens` by those of `text`, without special tokens around it.
  void tokenize(std::string_view text, TextOptions options, Scratch& scratch, std::vector<Token>& tokens) const;

  /// The same with nothing special in the text, which, unless it is the `first`, stands behind other text: no space is
  /// put in front where a tokenizer does so at the beginning only. The tokens' ranges mean nothing.
  void tokenize_plain(std::string_view text, bool first, Scratch& scratch, std::vector<Token>& tokens) const;

 private:
  void add(std::int32_t id, std::string_view spelled, TextRange range, const Scratch& scratch,
           std::vector<Token>& tokens) const;
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

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/text/detail/pipeline-inl.hpp"
#endif
