#pragma once

#include "graft/core/utf8.hpp"
#include "graft/text/detail/code_points.hpp"

namespace graft {

/// One of the 25 characters with the property White_Space.
inline bool is_white_space(char32_t c) { return detail::CodePointTable::instance().flags(c) & detail::kWhiteSpace; }

/// A letter, mark, decimal digit, connector punctuation or joiner: \w of a Unicode regular expression.
inline bool is_word_character(char32_t c) { return detail::CodePointTable::instance().flags(c) & detail::kWord; }

}  // namespace graft
