#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/text/bpe.hpp"
#include "graft/text/unigram.hpp"

namespace graft {

GRAFT_INLINE Unigram::Unigram(const std::vector<Piece>& pieces, std::optional<std::int32_t> unknown,
                              bool byte_fallback) {
  std::vector<Vocabulary::Entry> entries;
  std::vector<std::pair<std::string, std::int32_t>> strings;
  double worst = 0;
  for (const Piece& piece : pieces) {
    const auto id = static_cast<std::int32_t>(entries.size());
    if (!std::isfinite(piece.score)) {
      throw FormatError(message("piece ", id, ", ", quoted(piece.token), ", has the score ", piece.score,
                                "; a score is a finite number"));
    }
    worst = id == 0 ? piece.score : std::min(worst, piece.score);
    entries.push_back({piece.token, id});
    scores_.push_back(piece.score);
  }
  if (unknown && (*unknown < 0 || static_cast<std::size_t>(*unknown) >= pieces.size())) {
    throw FormatError(message("the unknown token's id is ", *unknown, ", but there are ", pieces.size(), " pieces"));
  }
  unknown_ = unknown.value_or(-1);
  constexpr double penalty = 10;  // SentencePiece's
  unknown_score_ = worst - penalty;
  vocabulary_ = Vocabulary(entries, "the pieces", Vocabulary::Repeated::last);
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    strings.emplace_back(std::move(entry->token), entry->id);
  }
  trie_ = detail::ByteTrie(std::move(strings));
  if (byte_fallback) bytes_ = detail::byte_tokens(vocabulary_);
}

GRAFT_INLINE void Unigram::encode(std::string_view text, std::span<const TextRange> words,
                                  std::vector<Token>& tokens) const {
  struct Best {
    double score = 0;
    std::uint32_t from = UINT32_MAX;  // none yet
    std::int32_t id = -1;
  };
  std::vector<Best> best;  // of the ways that end at each byte of the word
  std::vector<Token> pieces;
  for (const TextRange range : words) {
    const std::string_view word = text.substr(range.begin, range.end - range.begin);
    best.assign(word.size() + 1, {});
    for (std::uint32_t at = 0; at < word.size();) {
      const std::uint32_t length = decode_valid_utf8(word.data() + at).length;
      bool single = false;
      const auto consider = [&](std::size_t end, double score, std::int32_t id) {
        Best& target = best[end];
        const double sum = score + best[at].score;
        if (target.from == UINT32_MAX || sum > target.score) target = {sum, at, id};
      };
      trie_.each_match(word.substr(at), [&](std::size_t matched, std::int32_t id) {
        consider(at + matched, scores_[static_cast<std::size_t>(id)], id);
        single = single || matched == length;
      });
      if (!single) consider(at + length, unknown_score_, unknown_);
      at += length;
    }
    pieces.clear();
    for (auto end = static_cast<std::uint32_t>(word.size()); end > 0; end = best[end].from) {
      const TextRange piece{range.begin + best[end].from, range.begin + end};
      const bool goes_on = best[end].id == unknown_ && !pieces.empty() && pieces.back().id == unknown_;
      if (goes_on) {
        pieces.back().range.begin = piece.begin;
      } else {
        pieces.push_back({best[end].id, piece});
      }
    }
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      if (piece->id == unknown_) {
        add_unknown(text, piece->range, tokens);
      } else {
        tokens.push_back(*piece);
      }
    }
  }
}

GRAFT_INLINE void Unigram::add_unknown(std::string_view text, TextRange range, std::vector<Token>& tokens) const {
  const std::string_view piece = text.substr(range.begin, range.end - range.begin);
  if (const std::int32_t known = vocabulary_.find(piece); known >= 0) return tokens.push_back({known, range});
  const std::vector<std::int32_t> byte_ids = detail::spelled_in_bytes(bytes_, piece);
  for (const std::int32_t id : byte_ids) tokens.push_back({id, range});
  if (!byte_ids.empty()) return;
  if (unknown_ < 0) {
    throw FormatError(message("no piece of the vocabulary covers ", quoted(piece),
                              ", and no token stands for what is unknown; name one in the tokenizer's file"));
  }
  tokens.push_back({unknown_, range});
}

}  // namespace graft
