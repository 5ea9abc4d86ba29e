#include "graft/generation/chat.hpp"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "text/tokenizer_files.hpp"

namespace graft::fuzzing::chat {

namespace {

constexpr std::array families{"chatml", "smollm2", "qwen2", "qwen2.5", "llama2", "llama3", "llama3.1", "gemma"};

/// Words, bytes and the marks of all formats.
const Tokenizer& tokenizer() {
  static const Tokenizer made = [] {
    std::vector<std::string> vocabulary{"[UNK]", "[CLS]", "[SEP]"};
    Json added = Json::array();
    for (const char* mark : {"<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|begin_of_text|>", "<|start_header_id|>",
                             "<|end_header_id|>", "<|eot_id|>", "<bos>", "<start_of_turn>", "<end_of_turn>"}) {
      added.push_back({{"id", vocabulary.size()},
                       {"content", mark},
                       {"special", true},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false}});
      vocabulary.emplace_back(mark);
    }
    for (char c = '!'; c <= '~'; ++c) {
      vocabulary.emplace_back(1, c);
      vocabulary.push_back("##" + std::string(1, c));
    }
    return Tokenizer::load(tokenizer_json(vocabulary, bert_uncased, added.dump()).path());
  }();
  return made;
}

}  // namespace

/// A byte for the format; then messages, each behind a byte for who says it and whether others' text is in it, up to
/// NUL: what they say is in the prompt and is not read as any of the format's own marks.
void fuzz(std::string_view input) {
  const unsigned choice = cut_byte(input);
  const ChatFormat format = ChatFormat::of_family(families[choice % families.size()]);
  std::vector<ChatMessage> messages;
  while (!input.empty()) {
    const unsigned byte = cut_byte(input);
    const std::string_view text = cut(input);
    ChatMessage message{static_cast<ChatRole>(byte % 3), {{std::string(text), (byte & 4) != 0}}};
    if ((byte & 8) != 0) message.pieces.push_back({std::string(text.substr(0, text.size() / 2)), (byte & 16) != 0});
    messages.push_back(std::move(message));
  }
  const bool answer = (choice & 128) != 0;
  const std::vector<PromptPart> parts = format.parts(messages, answer);
  std::size_t marks = 0, ends = 0;
  std::string all;
  for (const PromptPart& part : parts) {
    marks += part.special ? 1 : 0;
    ends += part.special && part.text == format.end_token() ? 1 : 0;
    if (!part.special) all += part.text;
  }
  for (const ChatMessage& message : messages) {
    const std::string text = message.text();
    const std::size_t begin = std::min(text.find_first_not_of(" \t\n\r\v\f\x1c\x1d\x1e\x1f"), text.size());
    if (const std::string_view word = std::string_view(text).substr(begin, 1); !word.empty() && !(word[0] & 0x80))
      check(all.find(word) != all.npos, "a message is not in the prompt");
  }
  const std::vector<std::int32_t> ids = format.encode(tokenizer(), messages, answer);
  const auto special = [&](std::int32_t id) { return tokenizer().is_special(id); };
  check(static_cast<std::size_t>(std::count_if(ids.begin(), ids.end(), special)) == marks,
        "a message's text is read as a special token");
  const auto end = tokenizer().id(format.end_token());
  check(static_cast<std::size_t>(std::count(ids.begin(), ids.end(), *end)) == ends, "a message ends itself");
}

}  // namespace graft::fuzzing::chat
