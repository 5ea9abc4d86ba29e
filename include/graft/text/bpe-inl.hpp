#pragma once

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/text/bpe.hpp"
#include "graft/text/detail/byte_alphabet.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE MergeTable merge_table(const Vocabulary& vocabulary, std::span<const BpeMerge> merges) {
  MergeTable table(merges.size());
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    joined = merges[i].left + merges[i].right;
    const std::int32_t left = vocabulary.find(merges[i].left), right = vocabulary.find(merges[i].right);
    const std::int32_t both = vocabulary.find(joined);
    if (left < 0 || right < 0 || both < 0) {
      const std::string_view missing = left < 0 ? merges[i].left : right < 0 ? merges[i].right : joined;
      throw FormatError(message("merge ", i, " of ", quoted(merges[i].left), " and ", quoted(merges[i].right),
                                ": the vocabulary has no token ", quoted(missing)));
    }
    table.set(left, right, {static_cast<std::uint32_t>(i), both});
  }
  return table;
}

/// Of the token that stands for what the vocabulary lacks; -1 without one.
GRAFT_INLINE std::int32_t unknown_id(const Vocabulary& vocabulary, const std::optional<std::string>& token) {
  const std::int32_t id = token ? vocabulary.find(*token) : -1;
  if (!token || id >= 0) return id;
  throw FormatError(message("the vocabulary has no token ", quoted(*token),
                            ", which stands for what is unknown; add it or name the one that does"));
}

}  // namespace detail

GRAFT_INLINE ByteBpe::ByteBpe(Vocabulary vocabulary, std::span<const BpeMerge> merges, ByteBpeOptions options)
    : vocabulary_(std::move(vocabulary)),
      options_(std::move(options)),
      merges_(detail::merge_table(vocabulary_, merges)) {
  const auto& alphabet = detail::ByteAlphabet::instance();
  std::vector<Vocabulary::Entry> words;
  for (const auto& [token, id] : vocabulary_.entries()) {
    if (auto bytes = alphabet.bytes(token)) words.push_back({std::move(*bytes), id});
  }
  words_ = Vocabulary(words, "the vocabulary");
  const std::int32_t unknown = detail::unknown_id(vocabulary_, options_.unknown_token);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const std::int32_t id = words_.find(std::string(1, static_cast<char>(byte)));
    bytes_[byte] = id >= 0 ? id : unknown;
  }
}

GRAFT_INLINE void ByteBpe::encode(std::string_view text, std::span<const TextRange> words,
                                  std::vector<Token>& tokens) const {
  std::vector<Token> pieces;
  for (const TextRange range : words) {
    const std::string_view word = text.substr(range.begin, range.end - range.begin);
    if (options_.whole_words) {
      if (const std::int32_t whole = words_.find(word); whole >= 0) {
        tokens.push_back({whole, range});
        continue;
      }
    }
    pieces.clear();
    for (std::uint32_t at = range.begin; at < range.end; ++at) {
      const std::int32_t id = bytes_[static_cast<unsigned char>(text[at])];
      if (id >= 0) pieces.push_back({id, {at, at + 1}});
    }
    merges_.apply(pieces);
    tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  }
}

GRAFT_INLINE CharacterBpe::CharacterBpe(Vocabulary vocabulary, std::span<const BpeMerge> merges,
                                        CharacterBpeOptions options)
    : vocabulary_(std::move(vocabulary)),
      options_(std::move(options)),
      merges_(detail::merge_table(vocabulary_, merges)) {
  bytes_.fill(-1);
  int missing = -1;
  for (int byte = 255; options_.byte_fallback && byte >= 0; --byte) {
    constexpr char digits[] = "0123456789ABCDEF";
    const std::string token = message("<0x", digits[byte >> 4], digits[byte & 15], ">");
    bytes_[static_cast<std::size_t>(byte)] = vocabulary_.find(token);
    if (bytes_[static_cast<std::size_t>(byte)] < 0) missing = byte;
  }
  unknown_ = detail::unknown_id(vocabulary_, options_.unknown_token);
  if (unknown_ < 0 && (!options_.byte_fallback || missing >= 0)) {
    throw FormatError(
        message("nothing stands for a character that the vocabulary lacks: there is no unknown token, and ",
                options_.byte_fallback ? message("no token for byte ", missing) : "no byte_fallback"));
  }
}

GRAFT_INLINE void CharacterBpe::cut(std::string_view text, TextRange word, std::vector<Token>& pieces) const {
  TextRange unknown{};  // what an unknown token that is not added yet stands for
  const auto add_unknown = [&] {
    if (unknown.begin < unknown.end) pieces.push_back({unknown_, std::exchange(unknown, {})});
  };
  for (std::uint32_t at = word.begin; at < word.end;) {
    const TextRange range{at, at + decode_valid_utf8(text.data() + at).length};
    const std::string_view character = text.substr(at, range.end - at);
    at = range.end;
    if (const std::int32_t id = vocabulary_.find(character); id >= 0) {
      add_unknown();
      pieces.push_back({id, range});
      continue;
    }
    const auto byte_id = [&](std::uint32_t i) { return bytes_[static_cast<unsigned char>(text[i])]; };
    bool fallback = true;
    for (std::uint32_t i = range.begin; i < range.end; ++i) fallback = fallback && byte_id(i) >= 0;
    if (fallback) {
      add_unknown();
      for (std::uint32_t i = range.begin; i < range.end; ++i) pieces.push_back({byte_id(i), {i, i + 1}});
      continue;
    }
    if (!options_.fuse_unknown) add_unknown();
    if (unknown.begin == unknown.end) unknown.begin = range.begin;
    unknown.end = range.end;
  }
  add_unknown();
}

GRAFT_INLINE void CharacterBpe::encode(std::string_view text, std::span<const TextRange> words,
                                       std::vector<Token>& tokens) const {
  std::vector<Token> pieces;
  for (const TextRange word : words) {
    if (options_.whole_words) {
      if (const std::int32_t whole = vocabulary_.find(text.substr(word.begin, word.end - word.begin)); whole >= 0) {
        tokens.push_back({whole, word});
        continue;
      }
    }
    pieces.clear();
    cut(text, word, pieces);
    merges_.apply(pieces);
    tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  }
}

}  // namespace graft
