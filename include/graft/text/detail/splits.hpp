#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/detail/text_expression.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// What becomes of the matches where a pre-tokenizer cuts.
enum class SplitBehavior : std::uint8_t {
  removed,               ///< they are left out
  isolated,              ///< each is a word
  merged_with_previous,  ///< each ends the word before it; of several in a row the first
  merged_with_next,      ///< each begins the word behind it; of several in a row the last
  contiguous,            ///< those in a row are one word
};

/// A match, or what lies between two.
struct SplitPiece {
  TextRange range;
  bool match = false;
};

/// Adds the words that the pieces, which cover a text, make.
inline void add_split_words(std::vector<SplitPiece>& pieces, SplitBehavior behavior, std::vector<TextRange>& words) {
  const auto add = [&words](TextRange range) {
    if (range.begin < range.end) words.push_back(range);
  };
  bool before = false;  // whether the piece before was a match
  std::vector<TextRange> merged;
  if (behavior == SplitBehavior::merged_with_next) {
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      if (piece->match && !before && !merged.empty()) {
        merged.back().begin = piece->range.begin;
      } else {
        merged.push_back(piece->range);
      }
      before = piece->match;
    }
    for (auto range = merged.rbegin(); range != merged.rend(); ++range) add(*range);
    return;
  }
  for (const SplitPiece& piece : pieces) {
    const bool joins = behavior == SplitBehavior::merged_with_previous ? piece.match && !before
                       : behavior == SplitBehavior::contiguous         ? piece.match == before
                                                                       : false;
    if (joins && !merged.empty()) {
      merged.back().end = piece.range.end;
    } else if (!piece.match || behavior != SplitBehavior::removed) {
      merged.push_back(piece.range);
    }
    before = piece.match;
  }
  for (const TextRange range : merged) add(range);
}

/// Cuts at what `Find` finds: find(text, add) calls add(begin, end) for each match in order.
template <class Find>
class SplitPreTokenizer final : public PreTokenizer {
 public:
  SplitPreTokenizer(Find find, SplitBehavior behavior, bool invert = false)
      : find_(std::move(find)), behavior_(behavior), invert_(invert) {}

  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    std::vector<SplitPiece> pieces;
    std::uint32_t done = part.begin;
    const auto add = [&](std::size_t begin, std::size_t end) {
      const TextRange match{part.begin + static_cast<std::uint32_t>(begin),
                            part.begin + static_cast<std::uint32_t>(end)};
      if (done < match.begin) pieces.push_back({{done, match.begin}, invert_});
      pieces.push_back({match, !invert_});
      done = match.end;
    };
    find_(std::string_view(text.bytes).substr(part.begin, part.end - part.begin), add);
    if (done < part.end) pieces.push_back({{done, part.end}, invert_});
    add_split_words(pieces, behavior_, words);
  }

 private:
  Find find_;
  SplitBehavior behavior_;
  bool invert_;
};

/// Each character for which `Holds` holds.
template <class Holds>
struct FindCharacters {
  Holds holds;

  template <class Add>
  void operator()(std::string_view text, Add&& add) const {
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = decode_valid_utf8(text.data() + at);
      if (holds(step.code_point)) add(at, at + step.length);
      at += step.length;
    }
  }
};

/// Each occurrence of a text that is not empty.
struct FindText {
  std::string pattern;

  template <class Add>
  void operator()(std::string_view text, Add&& add) const {
    for (std::size_t at = text.find(pattern); at != text.npos; at = text.find(pattern, at)) {
      add(at, at + pattern.size());
      at += pattern.size();
    }
  }
};

/// Each match of a regular expression.
struct FindExpression {
  TextExpression expression;

  template <class Add>
  void operator()(std::string_view text, Add&& add) const {
    for (const TextRange match : expression.all(text)) add(match.begin, match.end);
  }
};

}  // namespace graft::detail
