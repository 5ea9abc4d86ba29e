#pragma once

#include <string>
#include <string_view>

#include "graft/core/mode.hpp"

namespace graft {

/// The words of `text` (UTF-8) as stores index and look for them, with one blank between. Whatever is written alike to
/// a reader is one word:
///
/// - Unicode's compatibility forms and cases are one (NFKC_Casefold): composed and decomposed, full-width and
/// half-width,
///   ligatures, capitals, final sigma, sharp s. Characters that are not seen, such as soft hyphens, are left out.
/// - Diacritics are left out: marks whose canonical combining class is 1, 10 to 36 or 200 to 240, and those that
///   enclose. These are accents above, below or through a letter, and the points of Hebrew and Arabic. Marks of other
///   classes spell the word and stay: vowels and viramas of Indic scripts, tones and vowels of Thai, the voicing of
///   kana. Letters that no mark can be taken from (o with stroke, dotless i) stay as they are. Arabic's tatweel goes.
/// - Letters, digits and the marks that stay make words; all else stands between them, as does a zero width space.
/// - Scripts without blanks between words give each pair of neighbouring letters, with their marks, as a word: Han,
/// kana,
///   bopomofo, Hangul, Yi, Tangut, Nushu, and Thai, Lao, Khmer, Burmese and their kin. A letter alone is a word.
///
/// Takes time and memory in proportion to the text.
std::string word_line(std::string_view text);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/word_line-inl.hpp"
#endif
