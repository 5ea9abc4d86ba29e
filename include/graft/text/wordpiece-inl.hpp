#pragma once

#include "graft/text/wordpiece.hpp"

namespace graft {

GRAFT_INLINE WordPiece::WordPiece(Vocabulary vocabulary, WordPieceOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
  if (options_.max_characters_a_word < 0) {
    throw OptionError(message("max_characters_a_word is ", options_.max_characters_a_word, "; choose 0 or more"));
  }
  unknown_ = vocabulary_.find(options_.unknown_token);
  std::vector<std::pair<std::string, std::int32_t>> first, continuing;
  for (auto& [token, id] : vocabulary_.entries()) {
    if (token.starts_with(options_.continuing_prefix)) {
      continuing.emplace_back(token.substr(options_.continuing_prefix.size()), id);
    }
    first.emplace_back(std::move(token), id);
  }
  first_ = detail::ByteTrie(std::move(first));
  continuing_ = detail::ByteTrie(std::move(continuing));
}

/// Left to itself g++ calls what is small here, too, which costs 4 % of the time.
[[gnu::flatten]] GRAFT_INLINE void WordPiece::encode(std::string_view text, std::span<const TextRange> words,
                                                     std::vector<Token>& tokens) const {
  for (const TextRange range : words) {
    const std::string_view word = text.substr(range.begin, range.end - range.begin);
    const bool long_word = too_long(word);
    const std::int32_t whole = long_word ? -1 : vocabulary_.find(word);
    if (whole >= 0) {
      tokens.push_back({whole, range});
    } else if (const std::size_t before = tokens.size(); long_word || !split(word, range.begin, tokens)) {
      tokens.resize(before);
      if (unknown_ < 0) {
        throw FormatError(message("the vocabulary has neither the word ", quoted(word),
                                  " nor its pieces, nor the token ", quoted(options_.unknown_token),
                                  ", which stands for unknown words; add it or name the one that does"));
      }
      tokens.push_back({unknown_, range});
    }
  }
}

GRAFT_INLINE bool WordPiece::too_long(std::string_view word) const {
  const auto limit = static_cast<std::size_t>(options_.max_characters_a_word);
  if (word.size() <= limit) return false;
  std::size_t characters = 0;
  for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return characters > limit;
}

GRAFT_INLINE bool WordPiece::split(std::string_view word, std::uint32_t begin, std::vector<Token>& tokens) const {
  for (std::uint32_t start = 0; start < word.size();) {
    const auto match = (start == 0 ? first_ : continuing_).longest_match(word.substr(start));
    if (match.length == 0) return false;
    const auto length = static_cast<std::uint32_t>(match.length);
    tokens.push_back({match.value, {begin + start, begin + start + length}});
    start += length;
  }
  return true;
}

}  // namespace graft
