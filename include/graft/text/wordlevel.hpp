#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/text/stages.hpp"
#include "graft/text/vocabulary.hpp"

namespace graft {

/// The simplest model: a word is a token, or unknown as a whole.
class WordLevel final : public SubwordModel {
 public:
  /// Words that the vocabulary lacks are `unknown_token`. Where it lacks that one too, encode() throws a FormatError at
  /// the first such word.
  WordLevel(Vocabulary vocabulary, std::string unknown_token)
      : vocabulary_(std::move(vocabulary)), unknown_token_(std::move(unknown_token)) {}

  void encode(std::string_view text, std::span<const TextRange> words, std::vector<Token>& tokens) const override {
    for (const TextRange word : words) {
      const std::string_view piece = text.substr(word.begin, word.end - word.begin);
      std::int32_t id = vocabulary_.find(piece);
      if (id < 0) id = vocabulary_.find(unknown_token_);
      if (id < 0) {
        throw FormatError(message("the vocabulary has neither the word ", quoted(piece), " nor the token ",
                                  quoted(unknown_token_), ", which stands for unknown words; add it to the file"));
      }
      tokens.push_back({id, word});
    }
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  std::string unknown_token_;
};

}  // namespace graft
