#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/detail/byte_trie.hpp"
#include "graft/text/stages.hpp"
#include "graft/text/vocabulary.hpp"

namespace graft {

struct WordPieceOptions {
  std::string unknown_token = "[UNK]";       ///< stands for a word with a part that no piece covers
  std::string continuing_prefix = "##";      ///< of every piece but a word's first
  std::int64_t max_characters_a_word = 100;  ///< scalar values; a longer word is unknown as a whole
};

/// The subword model of BERT: from the left, always the longest piece that the vocabulary has. A word with a part that
/// no piece covers is one unknown token.
/// Time: a word in the vocabulary is one look-up; any other costs its length times the longest token's at most.
/// Source: Wu et al., arXiv:1609.08144, section 4.1; Devlin et al., arXiv:1810.04805.
class WordPiece final : public SubwordModel {
 public:
  /// Throws OptionError if max_characters_a_word is negative. encode() throws FormatError where it needs the unknown
  /// token and the vocabulary lacks it.
  explicit WordPiece(Vocabulary vocabulary, WordPieceOptions options = {});

  GRAFT_INLINE void encode(std::string_view text, std::span<const TextRange> words,
                           std::vector<Token>& tokens) const override;

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  const WordPieceOptions& options() const { return options_; }

 private:
  bool too_long(std::string_view word) const;
  bool split(std::string_view word, std::uint32_t begin, std::vector<Token>& tokens) const;

  Vocabulary vocabulary_;
  WordPieceOptions options_;
  std::int32_t unknown_ = 0;
  detail::ByteTrie first_;
  detail::ByteTrie continuing_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/wordpiece-inl.hpp"
#endif
