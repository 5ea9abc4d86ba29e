#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/detail/byte_trie.hpp"
#include "graft/text/stages.hpp"
#include "graft/text/unicode.hpp"

namespace graft::detail {

/// A token that is looked for in the text before anything else is done with it.
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< and behind it
  bool normalized = false;   ///< its normal form is looked for in normalized text
  bool special = false;      ///< left out of decoded text on request
};

/// Cuts text at added tokens: of those that begin first, the longest.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;

  /// `patterns[i]` is what to look for in the place of `tokens[i]`; no two are equal.
  AddedTokenMatcher(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns)
      : tokens_(std::move(tokens)) {
    std::vector<std::pair<std::string, std::int32_t>> numbered;
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      numbered.emplace_back(patterns[i], static_cast<std::int32_t>(i));
    }
    trie_ = ByteTrie(std::move(numbered));
  }

  /// Calls token(AddedToken, TextRange) and text(TextRange), none empty, in the order of `text`. Without `special`
  /// special tokens are passed over as text.
  template <class TokenSink, class TextSink>
  void cut(std::string_view text, bool special, TokenSink&& token, TextSink&& rest) const {
    std::size_t done = 0;
    for (std::size_t at = 0; !trie_.empty() && at < text.size();) {
      const ByteTrie::Match match = trie_.starts(text[at]) ? trie_.longest_match(text.substr(at)) : ByteTrie::Match{};
      if (match.length == 0) {
        ++at;
        continue;
      }
      const AddedToken& found = tokens_[static_cast<std::size_t>(match.value)];
      std::size_t begin = at;
      std::size_t end = at + match.length;
      at = end;
      if (found.special && !special) continue;
      if (found.single_word && (word_ends_at(text, begin) || word_begins_at(text, end))) continue;
      if (found.lstrip) begin = space_begin(text, begin, done);
      if (found.rstrip) end = space_end(text, end);
      if (begin >= end) continue;  // of white space that the one before has taken along
      if (done < begin) rest(range(done, begin));
      token(found, range(begin, end));
      done = end;
    }
    if (done < text.size()) rest(range(done, text.size()));
  }

 private:
  static TextRange range(std::size_t begin, std::size_t end) {
    return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
  }
  static std::size_t previous(std::string_view text, std::size_t position) {
    while ((static_cast<unsigned char>(text[--position]) & 0xC0) == 0x80) {
    }
    return position;
  }
  static char32_t code_point(std::string_view text, std::size_t position) {
    return decode_valid_utf8(text.data() + position).code_point;
  }
  static bool word_ends_at(std::string_view text, std::size_t position) {
    return position > 0 && is_word_character(code_point(text, previous(text, position)));
  }
  static bool word_begins_at(std::string_view text, std::size_t position) {
    return position < text.size() && is_word_character(code_point(text, position));
  }
  /// Where the white space before `position` begins, not before `done`.
  static std::size_t space_begin(std::string_view text, std::size_t position, std::size_t done) {
    while (position > done) {
      const std::size_t before = previous(text, position);
      if (!is_white_space(code_point(text, before))) break;
      position = before;
    }
    return std::max(position, done);
  }
  static std::size_t space_end(std::string_view text, std::size_t position) {
    while (position < text.size()) {
      const Utf8Step step = decode_valid_utf8(text.data() + position);
      if (!is_white_space(step.code_point)) break;
      position += step.length;
    }
    return position;
  }

  std::vector<AddedToken> tokens_;
  ByteTrie trie_;
};

}  // namespace graft::detail
