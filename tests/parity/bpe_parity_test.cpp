// graft's byte-pair tokenizers against Hugging Face's, text by text. The references are written by
// tests/reference/bpe_parity.py, whose first lines explain the files.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/generation/chat.hpp"
#include "graft/text/decode_stream.hpp"
#include "graft/text/detail/normal_form.hpp"
#include "graft/text/detail/rewrites.hpp"
#include "parity/tokenizer_reference.hpp"

namespace graft {
namespace {

std::string path_of(const std::string& name) { return GRAFT_REFERENCE "/bpe/" + name; }

const std::string smollm2_file = GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

class BpeParity : public testing::TestWithParam<const char*> {
 protected:
  const std::string name_ = GetParam();
  const std::string texts_ = name_ == "smollm2" ? "smollm2" : "random";
  const Tokenizer tokenizer_ = Tokenizer::load(name_ == "smollm2" ? smollm2_file : path_of(name_));
};

TEST_P(BpeParity, Reviews) {
  expect_equal_tokens(tokenizer_, read_texts(path_of("reviews.texts")), path_of("reviews." + name_ + ".tokens"));
}

TEST_P(BpeParity, RandomTexts) {
  const std::vector<std::string> texts = read_texts(path_of(texts_ + ".texts"));
  ASSERT_GE(texts.size(), 8'000u);
  expect_equal_tokens(tokenizer_, texts, path_of(texts_ + "." + name_ + ".tokens"));
}

TEST_P(BpeParity, RandomTextsWithSpecialTokensTakenForText) {
  expect_equal_tokens(tokenizer_, read_texts(path_of(texts_ + ".texts")),
                      path_of(texts_ + "." + name_ + ".plain.tokens"), {.special_tokens_in_text = false});
}

TEST_P(BpeParity, DecodedRandomIds) {
  Reader reader(path_of(name_ + ".ids"));
  const Numbers counts = reader.numbers(reader.numbers(1)[0]);
  const std::vector<std::string> expected = read_texts(path_of(name_ + ".decoded"));
  ASSERT_EQ(expected.size(), counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const Numbers numbers = reader.numbers(counts[i]);
    const std::vector<std::int32_t> ids(numbers.begin(), numbers.end());
    ASSERT_EQ(shown(tokenizer_.decode(ids, false)), shown(expected[i])) << i;
  }
}

TEST_P(BpeParity, StreamedRandomTexts) {
  const std::vector<std::string> texts = read_texts(path_of(texts_ + ".texts"));
  for (std::size_t i = 0; i < texts.size(); i += 10) {
    const std::vector<std::int32_t> ids = tokenizer_.encode(texts[i]).ids;
    DecodeStream stream(tokenizer_, false);
    std::string joined;
    for (const std::int32_t id : ids) {
      const std::string piece = stream.push(id);
      ASSERT_EQ(find_invalid_utf8(piece), std::string::npos) << shown(texts[i]);
      joined += piece;
    }
    joined += stream.finish();
    ASSERT_EQ(shown(joined), shown(tokenizer_.decode(ids, false))) << shown(texts[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Styles, BpeParity,
                         testing::Values("gpt2", "trimmed", "llama3", "whole_words", "qwen2", "smollm", "llama2",
                                         "llama2_new", "metaspace", "gemma", "unknown", "unfused", "smollm2"),
                         [](const auto& info) { return std::string(info.param); });

TEST(ChatParity, SmolLM2sOwnTemplateGivesTheSameIds) {
  const Tokenizer tokenizer = Tokenizer::load(smollm2_file);
  const Json chats = read_json(path_of("chat.json"));
  ASSERT_EQ(chats.size(), 300u);
  for (const Json& chat : chats) {
    std::vector<ChatMessage> messages;
    for (const Json& each : chat["messages"]) {
      const auto role = each["role"] == "system"      ? ChatRole::system
                        : each["role"] == "assistant" ? ChatRole::assistant
                                                      : ChatRole::user;
      messages.push_back({role, {{each["content"].get<std::string>()}}});
    }
    EXPECT_EQ(ChatFormat::of_family("smollm2").encode(tokenizer, messages, chat["answer"].get<bool>()),
              chat["ids"].get<std::vector<std::int32_t>>())
        << chat["messages"].dump();
  }
}

TEST(NfcParity, RandomTexts) {
  const std::vector<std::string> texts = read_texts(path_of("random.texts")),
                                 expected = read_texts(path_of("normal.nfc"));
  for (std::size_t i = 0, failures = 0; i < texts.size() && failures < 10; ++i) {
    AlignedText text;
    detail::PlainNormalizer().normalize(texts[i], 0, text);
    detail::NormalForm(detail::NormalFormKind::nfc).apply(text);
    failures += text.bytes != expected[i];
    EXPECT_EQ(shown(text.bytes), shown(expected[i])) << shown(texts[i]);
  }
}

}  // namespace
}  // namespace graft
