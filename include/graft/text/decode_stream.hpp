#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "graft/text/tokenizer.hpp"

namespace graft {

/// Text of ids that come one by one, such as a model's answer, in pieces of whole characters.
///
/// The pieces joined are what decode() makes of all ids, unless bytes that are no UTF-8 stand in one run of byte tokens
/// with some that are: the latter have been given out before that shows. Time: a few tokens are decoded for each.
class DecodeStream {
 public:
  explicit DecodeStream(Tokenizer tokenizer, bool skip_special_tokens = true)
      : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

  /// The text that is certain with this token and was not before: "" where the token ends inside a character. Throws
  /// OptionError for an id that is not in the vocabulary.
  std::string push(std::int32_t id) {
    if (skip_special_tokens_ && tokenizer_.is_special(id)) return "";
    ids_.push_back(id);
    std::string text;
    try {
      text = tokenizer_.decode(ids_, false);
    } catch (...) {
      ids_.pop_back();
      throw;
    }
    constexpr std::size_t longest_wait = 16;  // no character takes so many tokens: the bytes are no UTF-8
    if (text.ends_with("\uFFFD") && ids_.size() - given_ < longest_wait) return "";
    return take(text);
  }

  /// What is held back when no more ids come: U+FFFD in the place of a character that is not complete.
  std::string finish() { return given_ == ids_.size() ? "" : take(tokenizer_.decode(ids_, false)); }

 private:
  /// What `text`, that of ids_, has more than what was given; the ids behind it stay, for how the next one joins them.
  std::string take(const std::string& text) {
    std::string piece;
    if (text.starts_with(given_text_)) {
      piece = text.substr(given_text_.size());
    } else {
      piece = tokenizer_.decode(std::span(ids_).subspan(given_), false);
    }
    ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(given_));
    given_ = ids_.size();
    given_text_ = tokenizer_.decode(ids_, false);
    return piece;
  }

  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::vector<std::int32_t> ids_;  // those given out last, for what is in front of the new ones; then the new ones
  std::size_t given_ = 0;          // how many of ids_ are given out
  std::string given_text_;         // theirs
};

}  // namespace graft
