#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/detail/merge_table.hpp"
#include "graft/text/stages.hpp"
#include "graft/text/vocabulary.hpp"

namespace graft {

namespace detail {
/// The ids of <0x00> to <0xFF>; -1 for those that are not there.
std::vector<std::int32_t> byte_tokens(const Vocabulary& vocabulary);

/// The ids of a text's bytes, of `tokens` as byte_tokens() gives them; none if it is empty, or one is not there.
std::vector<std::int32_t> spelled_in_bytes(const std::vector<std::int32_t>& tokens, std::string_view text);
}  // namespace detail

/// Two tokens that become one, in the order in which merges are made.
struct BpeMerge {
  std::string left, right;
};

struct ByteBpeOptions {
  std::optional<std::string> unknown_token = {};  ///< stands for a byte that the vocabulary lacks
  bool whole_words = false;                       ///< a word in the vocabulary is its token, whatever the merges say
};

/// The subword model of GPT-2, Llama 3, Qwen: a word is cut into bytes, then the pair of neighbours that stands first
/// in the list of merges becomes one token, the leftmost first, until no pair is in the list.
///
/// The vocabulary spells each byte as one printable character (a space as U+0120), as the files do. A byte that it
/// lacks (SmolLM2's lacks some control characters) is the unknown token. Without one it leaves no token, and the ranges
/// of what follows in its word move up, both as in the reference. Time: n log n in the length of a word. Source:
/// Sennrich et al., arXiv:1508.07909; Radford et al., Language Models are Unsupervised Multitask Learners, 2019.
class ByteBpe final : public SubwordModel {
 public:
  /// Throws FormatError if the vocabulary lacks a merge's parts or their join; encode() does so where it needs the
  /// unknown token and the vocabulary lacks it.
  ByteBpe(Vocabulary vocabulary, std::span<const BpeMerge> merges, ByteBpeOptions options = {});

  GRAFT_INLINE void encode(std::string_view text, std::span<const TextRange> words,
                           std::vector<Token>& tokens) const override;

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  static void move_up(std::string_view text, TextRange word, std::vector<Token>& pieces);

  Vocabulary vocabulary_;
  ByteBpeOptions options_;
  Vocabulary words_;                     // the same tokens in raw bytes
  std::array<std::int32_t, 256> bytes_;  // -1: no token
  detail::MergeTable merges_;
};

struct CharacterBpeOptions {
  std::optional<std::string> unknown_token = {};  ///< stands for a character that the vocabulary lacks
  bool fuse_unknown = false;                      ///< one for several such characters in a row
  bool byte_fallback = false;          ///< the bytes of such a character, as tokens <0x00> to <0xFF>, if all are there
  bool whole_words = false;            ///< a word in the vocabulary is its token, whatever the merges say
  bool leftmost_first = false;         ///< all merges are as good as each other
  std::string continuing_prefix = {};  ///< of every piece but a word's first; a merge of "a" and "##b" gives "ab"
  std::string word_suffix = {};        ///< of a word's last piece, such as </w>
};

/// The subword model of Llama 2, Mistral, Gemma, CLIP: as ByteBpe, but a word is first cut into characters.
///
/// A character that neither the vocabulary nor its bytes nor the unknown token stand for leaves no token, and the
/// ranges of what follows in its word move up, both as in the reference. Time: n log n in the length of a word, which
/// in Llama 2's like is the whole text. Source: Kudo and Richardson, arXiv:1808.06226.
class CharacterBpe final : public SubwordModel {
 public:
  /// Throws FormatError if the vocabulary lacks a merge's parts or their join; encode() does so where it needs the
  /// unknown token and the vocabulary lacks it.
  CharacterBpe(Vocabulary vocabulary, std::span<const BpeMerge> merges, CharacterBpeOptions options = {});

  GRAFT_INLINE void encode(std::string_view text, std::span<const TextRange> words,
                           std::vector<Token>& tokens) const override;

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  void cut(std::string_view text, TextRange word, std::vector<Token>& pieces) const;

  Vocabulary vocabulary_;
  CharacterBpeOptions options_;
  std::int32_t unknown_ = -1;
  std::vector<std::int32_t> bytes_;  // the 256 tokens, if byte_fallback; -1: not there
  detail::MergeTable merges_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/bpe-inl.hpp"
#endif
