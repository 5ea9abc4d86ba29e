#pragma once

#include <cstdint>
#include <utility>

// Two of its structs have the names of others in <regex.h>.
#define ONIG_ESCAPE_REGEX_T_COLLISION
#define re_registers graft_onig_registers
#define re_pattern_buffer graft_onig_pattern_buffer
#include <oniguruma.h>
#undef re_registers
#undef re_pattern_buffer

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/text/detail/text_expression.hpp"

namespace graft::detail {

inline const OnigUChar* onig_text(std::string_view text) { return reinterpret_cast<const OnigUChar*>(text.data()); }

GRAFT_INLINE TextExpression::TextExpression(std::string expression) : expression_(std::move(expression)) {
  constexpr std::size_t longest = 16 << 10;
  if (expression_.size() > longest) {
    throw FormatError(message("a regular expression of ", expression_.size(), " bytes; it has at most ", longest));
  }
  static const int ready = [] {
    OnigEncoding utf8 = ONIG_ENCODING_UTF8;
    return onig_initialize(&utf8, 1);
  }();
  OnigRegex made = nullptr;
  OnigErrorInfo info{};
  const OnigUChar* begin = onig_text(expression_);
  const int status = ready != ONIG_NORMAL ? ready
                                          : onig_new(&made, begin, begin + expression_.size(), ONIG_OPTION_NONE,
                                                     ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (status != ONIG_NORMAL) {
    OnigUChar text[ONIG_MAX_ERROR_MESSAGE_LEN] = {};
    onig_error_code_to_str(text, status, &info);
    throw FormatError(message("the regular expression ", quoted(expression_, 1000),
                              " is broken: ", reinterpret_cast<const char*>(text)));
  }
  compiled_ = std::shared_ptr<OnigRegexType>(made, onig_free);
}

GRAFT_INLINE bool TextExpression::search(std::string_view text, std::size_t from, TextRange& found,
                                         std::size_t& budget) const {
  const std::unique_ptr<OnigMatchParam, void (*)(OnigMatchParam*)> limits(onig_new_match_param(),
                                                                          onig_free_match_param);
  const std::unique_ptr<OnigRegion, void (*)(OnigRegion*)> region(onig_region_new(),
                                                                  [](OnigRegion* each) { onig_region_free(each, 1); });
  constexpr unsigned most_places_to_go_back_to = 4 << 20;
  onig_set_match_stack_limit_size_of_match_param(limits.get(), most_places_to_go_back_to);
  const OnigUChar* begin = onig_text(text);
  const OnigUChar* end = begin + text.size();
  // What a search took is not told, only that it took more than it may: a second try may take twice as much.
  for (std::size_t tries = 1024;; tries *= 2) {
    onig_set_retry_limit_in_search_of_match_param(limits.get(), tries);
    onig_set_retry_limit_in_match_of_match_param(limits.get(), tries);
    const int place = onig_search_with_param(static_cast<OnigRegex>(compiled_.get()), begin, end, begin + from, end,
                                             region.get(), ONIG_OPTION_NONE, limits.get());
    if (place >= 0) {
      found = {static_cast<std::uint32_t>(region->beg[0]), static_cast<std::uint32_t>(region->end[0])};
      return true;
    }
    if (place == ONIG_MISMATCH) return false;
    const bool over = place == ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER || place == ONIGERR_RETRY_LIMIT_IN_MATCH_OVER;
    if (!over || tries > budget) {
      throw FormatError(message("the regular expression ", quoted(expression_, 1000), " takes too long on a text of ",
                                text.size(), " bytes; correct it in the tokenizer's file"));
    }
    budget -= tries;
  }
}

GRAFT_INLINE std::vector<TextRange> TextExpression::all(std::string_view text) const {
  std::vector<TextRange> matches;
  std::size_t budget = (1 << 24) + 256 * text.size();
  std::size_t from = 0, last_end = text.size() + 1;
  for (TextRange found; from <= text.size() && search(text, from, found, budget);) {
    if (found.begin == found.end && found.end == last_end) {
      from += from < text.size() ? decode_valid_utf8(text.data() + from).length : 1;
      continue;
    }
    matches.push_back(found);
    from = last_end = found.end;
  }
  return matches;
}

}  // namespace graft::detail
