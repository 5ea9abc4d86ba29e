#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/detail/byte_trie.hpp"
#include "graft/text/stages.hpp"
#include "graft/text/vocabulary.hpp"

namespace graft {

/// The subword model of SentencePiece that T5, XLM-R, ALBERT and multilingual E5 have: of all ways to cut a word into
/// pieces of the vocabulary the one whose scores have the largest sum.
///
/// A character that no piece covers is unknown, at the score of the worst piece less 10; several in a row are one
/// token. With `byte_fallback` they are their bytes, as tokens <0x00> to <0xFF>, if all are there. Time: the length of
/// a word times that of the longest token at most. Source: Kudo, arXiv:1804.10959.
class Unigram final : public SubwordModel {
 public:
  struct Piece {
    std::string token;
    double score = 0;  ///< a logarithm of its probability
  };

  /// A piece's place is its id; of equal pieces the last is found. Throws FormatError if `unknown` is no place, or a
  /// score no finite number. Without `unknown`, encode() throws a FormatError at the first character that it would
  /// stand for.
  Unigram(const std::vector<Piece>& pieces, std::optional<std::int32_t> unknown, bool byte_fallback);

  GRAFT_INLINE void encode(std::string_view text, std::span<const TextRange> words,
                           std::vector<Token>& tokens) const override;

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  bool spelled_as_text(std::int32_t id) const override { return id == unknown_; }

 private:
  void add_unknown(std::string_view text, TextRange range, std::vector<Token>& tokens) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  std::int32_t unknown_ = -1;
  std::vector<std::int32_t> bytes_;  // the 256 tokens, if byte_fallback; -1: not there
  detail::ByteTrie trie_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/unigram-inl.hpp"
#endif
