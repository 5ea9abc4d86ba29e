#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"

namespace graft::detail {

inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// A place where a text may be cut, and how good a place it is.
enum class CutRank : std::uint8_t { character, word, sentence, paragraph };
struct CutPlace {
  CutPlace(std::size_t position, CutRank how_good) : at(position), rank(how_good) {}
  std::size_t at : 56;  // together eight bytes: a text may have a place after each letter
  CutRank rank : 8;
};

/// The places between words in [begin, end), the end among them: after the white space that follows a word, after the
/// end of a sentence that no white space follows, and between letters of scripts without blanks.
std::vector<CutPlace> cut_places(std::string_view text, std::size_t begin, std::size_t end);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/retrieval/detail/cut_places-inl.hpp"
#endif
