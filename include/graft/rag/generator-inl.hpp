#pragma once

#include <cmath>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/generator.hpp"

namespace graft {

GRAFT_INLINE void check_completion(std::span<const ChatMessage> messages, const CompletionOptions& options) {
  if (messages.empty()) throw OptionError("there is no message to answer; give at least one");
  for (std::size_t i = 0; i < messages.size(); ++i)
    for (const ChatPiece& piece : messages[i].pieces)
      if (!is_utf8(piece.text))
        throw OptionError(message("message ", i, " is not UTF-8: ", quoted(piece.text, 60), "; convert it"));
  if (options.max_tokens == 0) throw OptionError("max_tokens is 0; choose 1 or more");
  if (!(options.temperature >= 0 && options.temperature <= 100))
    throw OptionError(message("temperature is ", options.temperature, "; choose 0 to 100"));
  if (!(options.top_p > 0 && options.top_p <= 1))
    throw OptionError(message("top_p is ", options.top_p, "; choose more than 0, at most 1"));
  for (const std::string& stop : options.stop)
    if (stop.empty() || !is_utf8(stop))
      throw OptionError(message("the stop text ", quoted(stop, 60), " is empty or not UTF-8; leave it out"));
}

}  // namespace graft
