#include "graft/rag/detail/chat_stream.hpp"

#include <gtest/gtest.h>

#include <string>

namespace graft::detail {
namespace {

/// The text of a stream that arrives `piece` bytes at a time.
std::string text_of(std::string_view body, std::size_t piece) {
  const TextFunction none;
  ChatStream stream("server", 1 << 20, none);
  stream.begin("text/event-stream");
  for (; !body.empty(); body.remove_prefix(std::min(piece, body.size())))
    if (!stream.add(body.substr(0, piece))) break;
  stream.settle(false);
  stream.end();
  return stream.completion.text;
}

TEST(ChatStream, BlanksBeforeTheFirstEventAreNoPartOfIt) {
  for (const std::string before : {"", " ", "\n \t", "\r\n ", " \xEF\xBB\xBF"}) {
    const std::string body = before +
                             "data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n"
                             "data: {\"choices\":[{\"delta\":{\"content\":\" two\"},\"finish_reason\":\"stop\"}]}\n\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, body.size()})
      EXPECT_EQ(text_of(body, piece), "one two") << piece << " bytes at a time, behind \"" << before << '"';
  }
}

}  // namespace
}  // namespace graft::detail
