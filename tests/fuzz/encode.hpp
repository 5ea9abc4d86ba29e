#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft::fuzzing {

/// Checks what a tokenizer, whatever its file says, makes of a text.
inline void check_encoding(const Tokenizer& tokenizer, std::string_view text) {
  const Encoding encoding = tokenizer.encode(text);
  check(encoding.offsets.size() == encoding.size() && encoding.type_ids.size() == encoding.size() &&
            encoding.special_mask.size() == encoding.size() && encoding.sequences.size() == encoding.size(),
        "the lists of an encoding differ in length");
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    const TextRange range = encoding.offsets[i];
    check(range.begin <= range.end && range.end <= text.size(), "a token comes from outside the text");
    check(encoding.ids[i] >= 0 && encoding.ids[i] < tokenizer.id_limit(), "an id lies outside the vocabulary");
    check(tokenizer.token(encoding.ids[i]).has_value(), "an id has no token");
  }
  tokenizer.decode(encoding.ids);
  tokenizer.decode(encoding.ids, false);
  const Encoding plain = tokenizer.encode(text, {.add_special_tokens = false, .special_tokens_in_text = false});
  check(tokenizer.encode_prompt(std::vector<PromptPart>{{std::string(text), false}}) == plain.ids,
        "a prompt of plain text has other ids than the text");
  const Encoding pair = tokenizer.encode(text, text, {.max_length = 4 + tokenizer.special_tokens_added(true)});
  check(pair.size() <= 4 + tokenizer.special_tokens_added(true), "an encoding is longer than asked for");
}

}  // namespace graft::fuzzing
