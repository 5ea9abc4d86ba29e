#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace graft::detail {

/// The words of a question as an FTS5 expression: each a quoted string, so that none is an operator, joined by OR.
inline std::string word_query(std::string_view question) {
  std::set<std::string, std::less<>> words;
  std::string out, word;
  const auto flush = [&] {
    if (!word.empty() && words.insert(word).second) out += (out.empty() ? "\"" : " OR \"") + word + "\"";
    word.clear();
  };
  for (const char c : question) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = byte >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter)
      word += c;
    else
      flush();
  }
  flush();
  return out;
}

}  // namespace graft::detail
