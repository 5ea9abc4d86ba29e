#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace graft::detail {

/// The text of one continuation as it grows: how much of it is certain, and whether a stop text has appeared.
class GeneratedText {
 public:
  explicit GeneratedText(std::vector<std::string> stop_texts) : stop_texts_(std::move(stop_texts)) {}

  /// Takes the text of all tokens so far. True if a stop text is in it; the text then ends before the first.
  bool grow(std::string text) {
    text_ = std::move(text);
    std::size_t stop = std::string::npos;
    for (const std::string& one : stop_texts_) stop = std::min(stop, text_.find(one));
    if (stop == std::string::npos) return false;
    text_.resize(stop);
    certain_ = stop;
    return true;
  }

  /// What has become certain since the last call. Valid until grow().
  std::string_view next_piece(bool ended) {
    certain_ = ended ? text_.size() : std::max(given_, certain_length());
    const std::size_t from = std::min(given_, certain_);
    given_ = certain_;
    return std::string_view(text_).substr(from, certain_ - from);
  }

  std::string take() { return std::move(text_); }

 private:
  /// Without an unfinished character, and without an end that a stop text begins with.
  std::size_t certain_length() const {
    constexpr std::string_view unfinished = "\xEF\xBF\xBD";
    std::string_view text = text_;
    while (text.ends_with(unfinished)) text.remove_suffix(unfinished.size());
    std::size_t length = text.size();
    for (const std::string& stop : stop_texts_) {
      for (std::size_t n = std::min(stop.size() - 1, text.size()); n > 0; --n) {
        if (!text.ends_with(std::string_view(stop).substr(0, n))) continue;
        length = std::min(length, text.size() - n);
        break;
      }
    }
    return length;
  }

  std::vector<std::string> stop_texts_;
  std::string text_;
  std::size_t certain_ = 0, given_ = 0;
};

}  // namespace graft::detail
