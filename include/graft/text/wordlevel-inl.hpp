#pragma once

#include "graft/core/error.hpp"
#include "graft/text/wordlevel.hpp"

namespace graft {

GRAFT_INLINE void WordLevel::encode(std::string_view text, std::span<const TextRange> words,
                                    std::vector<Token>& tokens) const {
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

}  // namespace graft
