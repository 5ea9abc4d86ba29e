#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/generation/chat.hpp"
#include "graft/text/unicode.hpp"

namespace graft::detail {

inline std::string_view role_name(ChatRole role) {
  return role == ChatRole::system ? "system" : role == ChatRole::user ? "user" : "assistant";
}

/// Without the white space at both ends that Python's strip() takes, as templates do.
inline std::string stripped(std::string_view text) {
  const auto space = [](char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); };
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    if (!space(step.code_point)) {
      begin = std::min(begin, at);
      end = at + step.length;
    }
    at += step.length;
  }
  return begin < end ? std::string(text.substr(begin, end - begin)) : std::string();
}

inline std::vector<ChatMessage> joined_messages(std::vector<ChatMessage> messages,
                                                const std::vector<ChatMessage>& more) {
  messages.insert(messages.end(), more.begin(), more.end());
  return messages;
}

}  // namespace graft::detail
