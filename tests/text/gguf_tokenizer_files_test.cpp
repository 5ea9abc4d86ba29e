#include "graft/text/gguf_tokenizer_files.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/text/detail/byte_alphabet.hpp"
#include "graft/text/detail/gguf_pre_tokenizers.hpp"
#include "graft/text/tokenizer.hpp"
#include "support/error_message.hpp"
#include "support/gguf_bytes.hpp"
#include "support/temporary_directory.hpp"

namespace graft::gguf_tokenizer_files_test {
namespace {

using namespace gguf_bytes;
using Keys = std::vector<std::string>;

constexpr int normal = 1, unknown = 2, control = 3, user_defined = 4, byte = 6;

/// A vocabulary of SentencePiece's kind, with `more` keys.
std::string sentencepiece(const Keys& more, bool scored = true) {
  Keys tokens{"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "<tag>", "\xC3\xA9", "ab", "  "};
  std::vector<std::int32_t> types{unknown, control, control,      normal, normal, normal,
                                  normal,  normal,  user_defined, normal, normal, normal};
  std::vector<float> scores{0, 0, 0, -5, -6, -7, -2, -1, 0, -8, -3, -4};
  for (int i = 0; i < 256; ++i) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(i));
    tokens.emplace_back(name);
    types.push_back(byte);
    scores.push_back(0);
  }
  Keys keys{string_key("tokenizer.ggml.model", "llama"),      strings_key("tokenizer.ggml.tokens", tokens),
            integers_key("tokenizer.ggml.token_type", types), integer_key("tokenizer.ggml.bos_token_id", 1),
            integer_key("tokenizer.ggml.eos_token_id", 2),    integer_key("tokenizer.ggml.unknown_token_id", 0)};
  if (scored) keys.push_back(floats_key("tokenizer.ggml.scores", scores));
  keys.insert(keys.end(), more.begin(), more.end());
  return file_of(keys, {});
}

/// One of byte-level BPE: each byte, some words, special tokens.
std::string byte_level(const std::string& pre, const Keys& more) {
  Keys tokens{"<begin>", "<end>"};
  std::vector<std::int32_t> types{control, control};
  for (int i = 0; i < 256; ++i) {
    tokens.push_back(detail::ByteAlphabet::instance().spelled(std::string(1, static_cast<char>(i))));
    types.push_back(normal);
  }
  for (const char* token : {"ab", "\u0120ab", "12", "''", "<tag>"}) {
    tokens.emplace_back(token);
    types.push_back(std::string(token) == "<tag>" ? user_defined : normal);
  }
  Keys keys{string_key("tokenizer.ggml.model", "gpt2"),
            string_key("tokenizer.ggml.pre", pre),
            strings_key("tokenizer.ggml.tokens", tokens),
            integers_key("tokenizer.ggml.token_type", types),
            strings_key("tokenizer.ggml.merges", {"a b", "\u0120 ab", "1 2", "' '"}),
            integer_key("tokenizer.ggml.bos_token_id", 0),
            integer_key("tokenizer.ggml.eos_token_id", 1)};
  keys.insert(keys.end(), more.begin(), more.end());
  return file_of(keys, {});
}

const std::vector<std::string> texts{"",
                                     "ab ab  ab\u00E9 b",
                                     " ab",
                                     "a<tag> ab</s><s>b",
                                     "<begin>ab<end>12345 don't''\r\n\n x",
                                     "\u4F60\u597D e\u0301 \u00E9 \U0001F642",
                                     "WordWORD wordWord 1a2 \u0663\u0664 $%^"};

/// The tokenizer of a GGUF file, and that of the files made of it.
struct Both {
  explicit Both(const std::string& content) {
    write_file(directory / "f.gguf", content);
    for (const auto& [name, text] : gguf_tokenizer_files(directory / "f.gguf")) write_file(directory / name, text);
  }
  void expect_equal(const std::string& what) const {
    const Tokenizer gguf = Tokenizer::load(directory / "f.gguf"), files = Tokenizer::load(directory.path());
    EXPECT_EQ(files.id_limit(), gguf.id_limit()) << what;
    for (const std::string& text : texts) {
      for (const bool special : {true, false}) {
        const EncodeOptions options{.special_tokens_in_text = special};
        const Encoding a = gguf.encode(text, options), b = files.encode(text, options);
        EXPECT_EQ(a.ids, b.ids) << what << ": " << text;
        EXPECT_EQ(a.offsets, b.offsets) << what << ": " << text;
        EXPECT_EQ(gguf.decode(a.ids), files.decode(a.ids)) << what << ": " << text;
        const Encoding pair = files.encode(text, "ab", options);
        EXPECT_EQ(gguf.encode(text, "ab", options).ids, pair.ids) << what << ": " << text;
        EXPECT_EQ(gguf.encode(text, "ab", options).type_ids, pair.type_ids) << what << ": " << text;
      }
    }
  }
  TemporaryDirectory directory;
};

TEST(GgufTokenizerFiles, HaveTheIdsOfTheirSentencePieceVocabulary) {
  Both(sentencepiece({})).expect_equal("plain");
  Both(sentencepiece({boolean_key("tokenizer.ggml.add_space_prefix", false)})).expect_equal("without prefix");
  Both(sentencepiece(
           {boolean_key("tokenizer.ggml.add_bos_token", false), boolean_key("tokenizer.ggml.add_eos_token", true)}))
      .expect_equal("end alone");
  Both(sentencepiece({strings_key("tokenizer.ggml.merges", {"a b", "\u2581 ab"})}, false)).expect_equal("merges");
  Both(sentencepiece({string_key("general.architecture", "gemma3")})).expect_equal("gemma");
}

TEST(GgufTokenizerFiles, HaveTheIdsOfEveryPreTokenizerThatGraftKnows) {
  for (const detail::GgufPreTokenizer& kind : detail::gguf_pre_tokenizers()) {
    const std::string pre(kind.names.front());
    Both(byte_level(pre, {})).expect_equal(pre);
  }
  Both(byte_level("smollm", {boolean_key("tokenizer.ggml.add_bos_token", true),
                             boolean_key("tokenizer.ggml.add_eos_token", true)}))
      .expect_equal("begin and end");
}

TEST(GgufTokenizerFiles, SayWhatIsSpecialAndHowToChat) {
  const Both both(byte_level(
      "smollm",
      {integer_key("tokenizer.ggml.eot_token_id", 258), integer_key("tokenizer.ggml.padding_token_id", 1),
       integer_key("tokenizer.ggml.unknown_token_id", 0), string_key("general.architecture", "llama"),
       integer_key("llama.context_length", 512), string_key("tokenizer.chat_template", "{{ bos_token }} \u00E9\n")}));
  const Json config = read_json(both.directory / "tokenizer_config.json");
  EXPECT_EQ(config, Json::parse(R"({"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
      "bos_token": "<begin>", "eos_token": "<end>", "unk_token": "<begin>", "pad_token": "<end>", "model_max_length": 512,
      "chat_template": "{{ bos_token }} \u00e9\n"})"));
  EXPECT_EQ(read_json(both.directory / "generation_config.json"),
            Json::parse(R"({"bos_token_id": 0, "eos_token_id": [1, 258], "pad_token_id": 1})"));
  both.expect_equal("with more keys");
  const Both least(file_of({string_key("tokenizer.ggml.model", "gpt2"),
                            strings_key("tokenizer.ggml.tokens", {"a", "b"}), strings_key("tokenizer.ggml.merges", {})},
                           {}));
  EXPECT_EQ(read_json(least.directory / "generation_config.json"), Json::object());
}

TEST(GgufTokenizerFiles, WhatCannotBeSaidIsNamed) {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "f.gguf";
  const struct {
    std::string content, says;
  } rows[] = {
      {sentencepiece({}, false), "\"tokenizer.ggml.scores\" is missing, but must be there, or"},
      {sentencepiece({string_key("tokenizer.chat_template", "\xff")}), "\"tokenizer.chat_template\" is"},
      {byte_level("strange", {}), "\"tokenizer.ggml.pre\" is \"strange\""},
      {file_of({string_key("tokenizer.ggml.model", "bert")}, {}), "\"tokenizer.ggml.tokens\" is missing"},
      {"GGUF", "has 4 bytes"},
  };
  for (const auto& row : rows) {
    write_file(path, row.content);
    const std::string error = error_message([&] { gguf_tokenizer_files(path); });
    EXPECT_TRUE(error.starts_with("FormatError: ")) << error;
    EXPECT_NE(error.find(row.says), std::string::npos) << row.says << "\n" << error;
  }
}

}  // namespace
}  // namespace graft::gguf_tokenizer_files_test
