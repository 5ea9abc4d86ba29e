#include <functional>

#include "fuzz/fuzz.hpp"
#include "graft/rag/detail/chat_stream.hpp"

namespace graft::fuzzing::sse {

namespace {

/// What comes of a server's answer that arrives in pieces, each as long as `piece` says.
std::string read(const std::string& type, std::string_view body, bool is_cut,
                 const std::function<std::size_t()>& piece) {
  std::string given;
  const TextFunction on_text = [&](std::string_view text) {
    given += text;
    return given.size() < 100;
  };
  detail::ChatStream stream("server", 1 << 20, on_text);
  std::string end;
  try {
    stream.begin(type);
    bool enough = false;
    while (!enough && !body.empty()) {
      const std::size_t size = std::min(piece(), body.size());
      enough = !stream.add(body.substr(0, size));
      body.remove_prefix(size);
    }
    const bool whole = enough || stream.settle(is_cut);
    if (whole || !is_cut) stream.end();
    end = whole || !is_cut ? "whole" : "cut";
  } catch (const detail::ReportedError& error) {
    end = message("reported ", error.status, " ", error.body);
  } catch (const Error& error) {
    end = error.kind();  // its words may quote what has come so far
  }
  check(stream.completion.text == given, "the text is not what was given");
  return message(end, "\n", static_cast<int>(stream.completion.reason), " ",
                 stream.completion.tokens ? std::to_string(*stream.completion.tokens) : "-", "\n", given);
}

}  // namespace

/// A byte of choices and a server's answer: it means the same wherever the network cuts it.
void fuzz(std::string_view input) {
  const unsigned choice = cut_byte(input);
  constexpr const char* types[] = {"text/event-stream", "application/json", "", "text/plain"};
  const std::string type = types[choice % 4];
  const bool is_cut = (choice & 4) != 0;
  const std::string whole = read(type, input, is_cut, [] { return SIZE_MAX; });
  std::uint32_t state = 1 + choice;
  const auto random_piece = [&] { return 1 + ((state = state * 1664525 + 1013904223) >> 24) % 40; };
  for (const std::string& other :
       {read(type, input, is_cut, [] { return std::size_t{1}; }), read(type, input, is_cut, random_piece)})
    check(other == whole, "an answer means something else in pieces:\n" + other + "\n-- in one:\n" + whole);
}

}  // namespace graft::fuzzing::sse
