#pragma once

#include <algorithm>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/text/bpe.hpp"
#include "graft/text/detail/byte_alphabet.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE MergeTable merge_table(const Vocabulary& vocabulary, std::span<const BpeMerge> merges,
                                    std::string_view continuing_prefix = "", bool equal = false) {
  MergeTable table(merges.size());
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const bool continues = merges[i].right.starts_with(continuing_prefix);
    joined = merges[i].left + (continues ? merges[i].right.substr(continuing_prefix.size()) : merges[i].right);
    const std::int32_t left = vocabulary.find(merges[i].left), right = vocabulary.find(merges[i].right);
    const std::int32_t both = vocabulary.find(joined);
    if (left < 0 || right < 0 || both < 0) {
      const std::string_view missing = left < 0 ? merges[i].left : right < 0 ? merges[i].right : joined;
      throw FormatError(message("merge ", i, " of ", quoted(merges[i].left), " and ", quoted(merges[i].right),
                                ": the vocabulary has no token ", quoted(missing)));
    }
    table.set(left, right, {equal ? 0 : static_cast<std::uint32_t>(i), both});
  }
  return table;
}

/// The error where a token is needed for what is unknown, and the vocabulary lacks it.
[[noreturn]] GRAFT_INLINE void fail_without(const std::string& unknown_token, std::string_view piece) {
  throw FormatError(message("the vocabulary has neither ", quoted(piece), " nor the token ", quoted(unknown_token),
                            ", which stands for what is unknown; add it or name the one that does"));
}

GRAFT_INLINE std::vector<std::int32_t> byte_tokens(const Vocabulary& vocabulary) {
  std::vector<std::int32_t> out;
  for (unsigned byte = 0; byte < 256; ++byte) {
    constexpr char digits[] = "0123456789ABCDEF";
    out.push_back(vocabulary.find(message("<0x", digits[byte >> 4], digits[byte & 15], ">")));
  }
  return out;
}

GRAFT_INLINE std::vector<std::int32_t> spelled_in_bytes(const std::vector<std::int32_t>& tokens,
                                                        std::string_view text) {
  std::vector<std::int32_t> ids;
  if (tokens.empty()) return ids;
  for (const char byte : text) {
    ids.push_back(tokens[static_cast<unsigned char>(byte)]);
    if (ids.back() < 0) return {};
  }
  return ids;
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
  const std::int32_t unknown = options_.unknown_token ? vocabulary_.find(*options_.unknown_token) : -1;
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
    bool lacking = false;
    for (std::uint32_t at = range.begin; at < range.end; ++at) {
      const std::int32_t id = bytes_[static_cast<unsigned char>(text[at])];
      lacking = lacking || id < 0;
      if (id >= 0) pieces.push_back({id, {at, at + 1}});
    }
    if (lacking && options_.unknown_token) detail::fail_without(*options_.unknown_token, word);
    if (lacking) move_up(text, range, pieces);
    merges_.apply(pieces);
    tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  }
}

/// The reference counts the bytes of the spelled tokens from the word's beginning, whether one is missing or not.
GRAFT_INLINE void ByteBpe::move_up(std::string_view text, TextRange word, std::vector<Token>& pieces) {
  const auto spelled = [&](std::uint32_t at) {
    return detail::ByteAlphabet::instance().character(static_cast<std::uint8_t>(text[at])) < 0x80 ? 1u : 2u;
  };
  std::vector<std::uint32_t> raw;  // of each spelled byte
  for (std::uint32_t at = word.begin; at < word.end; ++at) raw.insert(raw.end(), spelled(at), at);
  std::size_t begin = 0;
  for (Token& piece : pieces) {
    const std::size_t end = begin + spelled(piece.range.begin);
    piece.range = {raw[begin], raw[end - 1] + 1};
    begin = end;
  }
}

GRAFT_INLINE CharacterBpe::CharacterBpe(Vocabulary vocabulary, std::span<const BpeMerge> merges,
                                        CharacterBpeOptions options)
    : vocabulary_(std::move(vocabulary)),
      options_(std::move(options)),
      merges_(detail::merge_table(vocabulary_, merges, options_.continuing_prefix, options_.leftmost_first)) {
  if (options_.byte_fallback) bytes_ = detail::byte_tokens(vocabulary_);
  if (options_.unknown_token) unknown_ = vocabulary_.find(*options_.unknown_token);
}

GRAFT_INLINE void CharacterBpe::cut(std::string_view text, TextRange word, std::vector<Token>& pieces) const {
  std::uint32_t done = word.begin, unknown = 0;  // where the next piece begins; bytes of unknown ones not added yet
  const auto add = [&](std::int32_t id, std::uint32_t length) {
    // Bytes of a prefix or suffix count too: behind the word's end there is its last byte.
    const std::uint32_t end = std::min(done + length, word.end);
    pieces.push_back({id, {std::min(done, end - 1), end}});
    done = end;
  };
  const auto add_unknown = [&] {
    if (unknown > 0) add(unknown_, std::exchange(unknown, 0));
  };
  std::string spelled;
  for (std::uint32_t at = word.begin; at < word.end;) {
    const std::uint32_t length = decode_valid_utf8(text.data() + at).length;
    std::string_view character = text.substr(at, length);
    const bool prefixed = at > word.begin && !options_.continuing_prefix.empty();
    at += length;
    const bool suffixed = at == word.end && !options_.word_suffix.empty();
    if (prefixed || suffixed) {
      spelled = prefixed ? options_.continuing_prefix : "";
      spelled += character;
      if (suffixed) spelled += options_.word_suffix;
      character = spelled;
    }
    if (const std::int32_t id = vocabulary_.find(character); id >= 0) {
      add_unknown();
      add(id, length);
      continue;
    }
    const std::vector<std::int32_t> byte_ids = detail::spelled_in_bytes(bytes_, character);
    for (const std::int32_t id : byte_ids) add(id, 1);
    if (!byte_ids.empty()) continue;
    if (options_.unknown_token && unknown_ < 0) detail::fail_without(*options_.unknown_token, character);
    if (!options_.fuse_unknown) add_unknown();
    if (unknown_ >= 0) unknown += length;
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
