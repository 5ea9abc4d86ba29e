#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace graft::detail {

inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// A place where a text may be cut, and how good a place it is.
enum class CutRank : std::uint8_t { character, word, sentence, paragraph };
struct CutPlace {
  std::size_t at;
  CutRank rank;
};

/// The places between words in [begin, end), the end among them: after the white space that follows a word.
std::vector<CutPlace> cut_places(std::string_view text, std::size_t begin, std::size_t end);

}  // namespace graft::detail
