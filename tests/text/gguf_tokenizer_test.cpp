#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <tuple>
#include <vector>

#include "graft/core/output.hpp"
#include "graft/text/decode_stream.hpp"
#include "graft/text/detail/bert_pre_tokenizer.hpp"
#include "graft/text/detail/byte_alphabet.hpp"
#include "graft/text/detail/gguf_pre_tokenizers.hpp"
#include "graft/text/tokenizer.hpp"
#include "support/error_message.hpp"
#include "support/gguf_bytes.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

using namespace gguf_bytes;

constexpr int normal = 1, control = 3, user_defined = 4, byte = 6;

/// A vocabulary of SentencePiece's kind: a few words, all bytes.
struct SentencePieceFile {
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "<tag>", "\xC3\xA9"};
  std::vector<std::int32_t> types{2, control, control, normal, normal, normal, normal, normal, user_defined, normal};
  std::vector<float> scores{0, 0, 0, -5, -6, -7, -2, -1, 0, -8};
  std::vector<std::string> more;

  SentencePieceFile() {
    for (int i = 0; i < 256; ++i) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(i));
      tokens.emplace_back(name);
      types.push_back(byte);
      scores.push_back(0);
    }
  }

  std::string content() const {
    std::vector<std::string> keys{
        string_key("tokenizer.ggml.model", "llama"),      strings_key("tokenizer.ggml.tokens", tokens),
        integers_key("tokenizer.ggml.token_type", types), floats_key("tokenizer.ggml.scores", scores),
        integer_key("tokenizer.ggml.bos_token_id", 1),    integer_key("tokenizer.ggml.eos_token_id", 2),
        integer_key("tokenizer.ggml.unknown_token_id", 0)};
    keys.insert(keys.end(), more.begin(), more.end());
    return file_of(keys, {});
  }
};

Tokenizer load(const std::string& content) {
  const TemporaryDirectory directory;
  write_file(directory / "f.gguf", content);
  return Tokenizer::load(directory / "f.gguf");
}

std::string load_error(const std::string& content) {
  const TemporaryDirectory directory;
  write_file(directory / "f.gguf", content);
  const std::string path = (directory / "f.gguf").string();
  return replaced(error_message([&] { Tokenizer::load(path); }), path, "f");
}

std::string spelled(const Tokenizer& tokenizer, const Encoding& encoding) {
  std::string out;
  for (const std::int32_t id : encoding.ids) out += (out.empty() ? "" : " ") + std::string(*tokenizer.token(id));
  return out;
}

TEST(GgufTokenizer, MergesByScoreAndBeginsWithBos) {
  const Tokenizer tokenizer = load(SentencePieceFile().content());
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("ab ba<tag>")), "<s> ▁ab ▁ b a <tag>");
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("ab\u00E9\u00E8")), "<s> ▁ab \u00E9 <0xC3> <0xA8>");
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("a", "b")), "<s> ▁ a <s> ▁ b");
  EXPECT_EQ(tokenizer.encode("a", "b").type_ids, (std::vector<std::int32_t>{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ab \u00E8b").ids), "ab \u00E8b");
}

TEST(GgufTokenizer, DoesWhatItsFlagsSay) {
  SentencePieceFile file;
  file.more = {boolean_key("tokenizer.ggml.add_bos_token", false), boolean_key("tokenizer.ggml.add_eos_token", true),
               boolean_key("tokenizer.ggml.add_space_prefix", false)};
  const Tokenizer tokenizer = load(file.content());
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("ab")), "ab </s>");
}

TEST(GgufTokenizer, SpecialTokensInTextAreTextOnRequest) {
  const Tokenizer tokenizer = load(SentencePieceFile().content());
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("a</s>b")), "<s> ▁ a </s> b");
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("a</s>", {.special_tokens_in_text = false})),
            "<s> ▁ a <0x3C> <0x2F> <0x73> <0x3E>");
  EXPECT_TRUE(tokenizer.is_special(2));
  EXPECT_FALSE(tokenizer.is_special(8));
}

TEST(GgufTokenizer, PromptsAreWhatTheirPartsSay) {
  const Tokenizer tokenizer = load(SentencePieceFile().content());
  const auto prompt = [&](const std::vector<PromptPart>& parts) {
    Encoding encoding;
    encoding.ids = tokenizer.encode_prompt(parts);
    return spelled(tokenizer, encoding);
  };
  EXPECT_EQ(prompt({{"<s>", true}, {"ab</s>"}, {"</s>", true}, {"b"}}), "<s> ab <0x3C> <0x2F> <0x73> <0x3E> </s> b")
      << "a space is put in front at the beginning only, as in one text";
  EXPECT_EQ(prompt({{"ab"}}), "▁ab");
  EXPECT_EQ(prompt({{"<s>", true}, {"a\xFF"}}), "<s> a <0xEF> <0xBF> <0xBD>");
  EXPECT_EQ(prompt({}), "");
  EXPECT_EQ(error_message([&] {
              prompt({{"<x>", true}, {"<s>", true}, {"<y>", true}, {"<x>", true}});
            }),
            "FormatError: the vocabulary lacks the special tokens \"<x>\", \"<y>\"; the prompt is written for another "
            "family of models");
}

TEST(GgufTokenizer, HostileVocabulariesAreErrors) {
  const auto with = [](auto change) {
    SentencePieceFile file;
    change(file);
    return load_error(file.content());
  };
  EXPECT_EQ(load_error(file_of({}, {})),
            "FormatError: f: \"tokenizer.ggml.tokens\" is missing, but must be an array of strings");
  EXPECT_EQ(with([](auto& file) { file.types.pop_back(); }),
            "FormatError: f: \"tokenizer.ggml.token_type\" is an array of 265, but must be as long as the list of 266 "
            "tokens");
  EXPECT_EQ(
      with([](auto& file) { file.scores.pop_back(); }),
      "FormatError: f: \"tokenizer.ggml.scores\" is an array of 265, but must be as long as the list of 266 tokens");
  EXPECT_EQ(with([](auto& file) { file.scores[3] = NAN; }),
            "FormatError: f: \"tokenizer.ggml.scores\" is an array of 266, but must be an array of finite numbers");
  EXPECT_EQ(with([](auto& file) { file.tokens[5] = "\xFF"; }),
            "FormatError: f: \"tokenizer.ggml.tokens\"[5], \"\xFF\", is not UTF-8");
  EXPECT_EQ(with([](auto& file) { file.tokens[5] = std::string(1000, 'x'); }),
            "FormatError: f: \"tokenizer.ggml.tokens\"[5] has 1000 bytes, more than 512");
  EXPECT_EQ(with([](auto& file) {
              file.more = {strings_key("tokenizer.ggml.merges", {"a b", "ab"})};
            }),
            "FormatError: f: \"tokenizer.ggml.merges\"[1] is \"ab\", but must be two tokens with a space between them");
  EXPECT_EQ(with([](auto& file) { file.more = {strings_key("tokenizer.ggml.merges", {"a x"})}; }),
            "FormatError: f: merge 0 of \"a\" and \"x\": the vocabulary has no token \"x\"");
  const auto byte_level = [](const char* pre) {
    return load_error(file_of({string_key("tokenizer.ggml.model", "gpt2"), string_key("tokenizer.ggml.pre", pre),
                               strings_key("tokenizer.ggml.tokens", {"a"}), strings_key("tokenizer.ggml.merges", {})},
                              {}));
  };
  EXPECT_EQ(byte_level("gpt-2"), "(no error)");
  EXPECT_EQ(
      byte_level("kimi-k2"),
      "FormatError: f: \"tokenizer.ggml.pre\" is \"kimi-k2\", but must be one that graft knows: gpt-2, smollm, "
      "llama-bpe, dbrx, qwen2, stablelm2, tekken, gpt-4o, deepseek-coder, deepseek-v3, falcon, bloom, viking, "
      "tiny_aya, laguna, qwen35, exaone-moe, ufakzeka, seed-coder, bailingmoe, superbpe, default or another name of "
      "these");
  EXPECT_EQ(load_error(
                file_of({string_key("tokenizer.ggml.model", "bert"), strings_key("tokenizer.ggml.tokens", {"a"})}, {})),
            "FormatError: f: \"tokenizer.ggml.model\" is \"bert\", but must be gpt2 (byte-level BPE) or llama (that of "
            "SentencePiece)");
}

/// A byte-level vocabulary of all bytes, the tokens of `more` and a begin token.
std::string byte_level_file(const char* pre, const std::vector<std::string>& more, std::vector<std::string> keys = {}) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 256; ++i) {
    tokens.push_back(detail::ByteAlphabet::instance().spelled(std::string(1, static_cast<char>(i))));
  }
  tokens.insert(tokens.end(), more.begin(), more.end());
  tokens.emplace_back("<begin>");
  keys.push_back(string_key("tokenizer.ggml.model", "gpt2"));
  keys.push_back(string_key("tokenizer.ggml.pre", pre));
  keys.push_back(strings_key("tokenizer.ggml.tokens", tokens));
  keys.push_back(integer_key("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(tokens.size() - 1)));
  return file_of(keys, {});
}

TEST(GgufTokenizer, AllNamesOfOnePreTokenizerMeanTheSame) {
  // The groups are llama.cpp's, and so is which of them begin a text with the begin token.
  const std::string text = "It's 1234, x  y\r\n  Ok IBMs";
  const std::tuple<std::vector<const char*>, bool, const char*> groups[] = {
      {{"gpt-2", "phi-2", "jina-v2-code", "mpt", "olmo", "exaone4"}, false, "It|'s| 1234|,| x| | y|\r\n | Ok| IBMs"},
      {{"smollm", "starcoder", "command-r", "refact"}, false, "It|'s| |1|2|3|4|,| x| | y|\r\n | Ok| IBMs"},
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"}, true, "It|'s| |123|4|,| x| | y|\r\n| | Ok| IBMs"},
      {{"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"}, false, "It|'s| |123|4|,| x| | y|\r\n| | Ok| IBMs"},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "grok-2"}, false, "It|'s| |1|2|3|4|,| x| | y|\r\n| | Ok| IBMs"},
      {{"ufakzeka"}, false, "It|'s| |1|2|3|4|,| x| | y|\r\n| | Ok| IBMs"},
      {{"deepseek-v3", "joyai-llm"}, false, "It|'s| |123|4|,| x| | y|\r\n| | Ok| IBMs"},
      {{"tekken"}, true, "It|'s| |1|2|3|4|,| x| | y|\r\n| | Ok| IBMs"},
      {{"gpt-4o", "llama4", "kanana2"}, false, "It's| |123|4|,| x| | y|\r\n| | Ok| IBMs"},
  };
  for (const auto& [names, begins, words] : groups) {
    for (const char* name : names) {
      const Tokenizer tokenizer = load(byte_level_file(name, {}, {strings_key("tokenizer.ggml.merges", {})}));
      EXPECT_EQ(tokenizer.encode(text).ids.front() == 256, begins) << name;
      const detail::GgufPreTokenizer* kind = detail::find_gguf_pre_tokenizer(name);
      ASSERT_NE(kind, nullptr) << name;
      AlignedText aligned;
      detail::PlainNormalizer().normalize(text, 0, aligned);
      std::vector<TextRange> cut;
      detail::pre_tokenizer_of(*kind)->split(aligned, {0, static_cast<std::uint32_t>(text.size())}, cut);
      std::string joined;
      for (const TextRange range : cut) {
        joined += (joined.empty() ? "" : "|") + text.substr(range.begin, range.end - range.begin);
      }
      EXPECT_EQ(joined, words) << name;
    }
  }
}

TEST(GgufTokenizer, EveryNameCutsTextIntoAllOfIt) {
  for (const detail::GgufPreTokenizer& kind : detail::gguf_pre_tokenizers()) {
    const std::string text = "It's 12345 x\u00E9  y\r\n\n  \u4F60\u597D \u0915\u094D\u0937 IBMs.";
    AlignedText aligned;
    detail::PlainNormalizer().normalize(text, 0, aligned);
    std::vector<TextRange> cut;
    detail::pre_tokenizer_of(kind)->split(aligned, {0, static_cast<std::uint32_t>(text.size())}, cut);
    std::uint32_t at = 0;
    for (const TextRange range : cut) {
      EXPECT_EQ(range.begin, at) << kind.names.front();
      at = range.end;
    }
    EXPECT_EQ(at, text.size()) << kind.names.front();
    EXPECT_GT(cut.size(), 3u) << kind.names.front();
  }
}

TEST(GgufTokenizer, WithoutMergesTheOrderOfTheTokensIsThatOfTheMerges) {
  const Tokenizer tokenizer = load(byte_level_file("gpt-2", {"bc", "ab", "abc"}));
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("abc abab")), "abc \u0120 ab ab");
}

TEST(GgufTokenizer, WithoutScoresTheLeftmostPairMergesFirst) {
  SentencePieceFile file;
  file.tokens.insert(file.tokens.end(), {"ba", "bab"});
  file.types.insert(file.types.end(), {normal, normal});
  const std::string content =
      file_of({string_key("tokenizer.ggml.model", "llama"), strings_key("tokenizer.ggml.tokens", file.tokens),
               integers_key("tokenizer.ggml.token_type", file.types), integer_key("tokenizer.ggml.bos_token_id", 1)},
              {});
  const Tokenizer tokenizer = load(content);
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("bab")), "<s> ▁ bab");
  EXPECT_EQ(spelled(tokenizer, tokenizer.encode("abab")), "<s> ▁ab ab");
}

TEST(GgufTokenizer, OfATokenThatStandsTwiceTheLastCounts) {
  SentencePieceFile file;
  file.tokens.insert(file.tokens.end(), {"a", "<tag>"});
  file.types.insert(file.types.end(), {normal, user_defined});
  file.scores.insert(file.scores.end(), {-9, 0});
  const Tokenizer tokenizer = load(file.content());
  EXPECT_EQ(tokenizer.encode("a<tag>").ids, (std::vector<std::int32_t>{1, 3, 266, 267}));
  EXPECT_EQ(tokenizer.token(4), "a");
  EXPECT_EQ(tokenizer.token(8), "<tag>");
}

TEST(GgufTokenizer, WithoutTypesTheTokensThatTheFileNamesAreSpecial) {
  const Tokenizer tokenizer = load(byte_level_file("llama3", {"<other>"}));
  EXPECT_TRUE(tokenizer.is_special(257));
  EXPECT_FALSE(tokenizer.is_special(256));
  EXPECT_EQ(tokenizer.encode("<begin>a").ids, (std::vector<std::int32_t>{257, 257, *tokenizer.id("a")}));
}

TEST(GgufTokenizer, AnEndTokenOutsideTheVocabularyIsAnError) {
  EXPECT_EQ(
      load_error(file_of({string_key("tokenizer.ggml.model", "gpt2"), strings_key("tokenizer.ggml.tokens", {"a"}),
                          strings_key("tokenizer.ggml.merges", {}), boolean_key("tokenizer.ggml.add_eos_token", true),
                          integer_key("tokenizer.ggml.eos_token_id", 7)},
                         {})),
      "FormatError: f: \"tokenizer.ggml.eos_token_id\" is 7, but must be an integer from 0 to 0");
}

TEST(DecodeStream, GivesWholeCharactersOnly) {
  const Tokenizer tokenizer = load(SentencePieceFile().content());
  const auto id = [&](const char* token) { return *tokenizer.id(token); };
  DecodeStream stream(tokenizer);
  EXPECT_EQ(stream.push(id("<s>")), "");
  EXPECT_EQ(stream.push(id("▁ab")), "ab") << "the space at the beginning is the tokenizer's";
  EXPECT_EQ(stream.push(id("▁ab")), " ab");
  EXPECT_EQ(stream.push(id("<0xE4>")), "");
  EXPECT_EQ(stream.push(id("<0xBD>")), "");
  EXPECT_EQ(stream.push(id("<0xA0>")), "\u4F60");
  EXPECT_EQ(stream.push(id("<0xF0>")), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(error_message([&] { stream.push(1000); }),
            "OptionError: id 1000 at place 1 is not in the vocabulary, whose ids are below 266");
}

TEST(DecodeStream, PiecesMakeUpTheDecodedText) {
  const Tokenizer tokenizer = load(SentencePieceFile().content());
  const std::vector<std::int32_t> ids = tokenizer.encode("ab \u4F60\u597D ab<tag>\U0001F642").ids;
  DecodeStream stream(tokenizer);
  std::string answer;
  for (const std::int32_t id : ids) answer += stream.push(id);
  answer += stream.finish();
  EXPECT_EQ(answer, "ab \u4F60\u597D ab<tag>\U0001F642");
}

TEST(DecodeStream, DoesNotWaitForEverForACharacter) {
  const Tokenizer tokenizer = load(SentencePieceFile().content());
  DecodeStream stream(tokenizer);
  std::string text;
  for (int i = 0; i < 100; ++i) text += stream.push(*tokenizer.id("<0xFF>"));
  EXPECT_GE(text.size(), 3u * 64) << "U+FFFD for most of them";
  text += stream.finish();
  EXPECT_EQ(text.size(), 3u * 100);
}

}  // namespace
}  // namespace graft
