#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/mode.hpp"
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

  GRAFT_INLINE void encode(std::string_view text, std::span<const TextRange> words,
                           std::vector<Token>& tokens) const override;

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  std::string unknown_token_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/wordlevel-inl.hpp"
#endif
