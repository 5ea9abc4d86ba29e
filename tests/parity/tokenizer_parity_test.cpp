// graft's tokenizer against Hugging Face's, text by text. The references are written by
// tests/reference/tokenizer_parity.py, whose first lines explain the files.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "parity/tokenizer_reference.hpp"

#include "graft/text/detail/bert_normalizer.hpp"

namespace graft {
namespace {

std::string path_of(const std::string& name) { return GRAFT_REFERENCE "/tokenizer/" + name; }

Tokenizer load(const std::string& name) { return Tokenizer::load(path_of(name)); }

void expect_equal(const Tokenizer& tokenizer, const std::vector<std::string>& texts, const std::string& reference) {
  expect_equal_tokens(tokenizer, texts, path_of(reference));
}

std::vector<std::string> scalars() {
  std::vector<std::string> texts;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    texts.emplace_back("a");
    append_utf8(texts.back(), c);
    texts.back() += "b";
  }
  return texts;
}

void expect_equal_normal_form(const std::vector<std::string>& texts, detail::BertNormalizerOptions options,
                              const std::string& reference) {
  const detail::BertNormalizer normalizer(options);
  const std::vector<std::string> expected = read_texts(path_of(reference));
  ASSERT_EQ(expected.size(), texts.size());
  AlignedText ours;
  for (std::size_t i = 0, failures = 0; i < texts.size() && failures < 10; ++i) {
    ours.clear();
    normalizer.normalize(texts[i], 0, ours);
    if (ours.bytes == expected[i]) continue;
    ++failures;
    EXPECT_EQ(shown(ours.bytes), shown(expected[i])) << reference << ": " << shown(texts[i]);
  }
}

TEST(TokenizerParity, Reviews) {
  const std::vector<std::string> texts = read_texts(path_of("reviews.texts"));
  ASSERT_EQ(texts.size(), 10605u + 3708u);
  expect_equal(load("uncased"), texts, "reviews.uncased.tokens");
  expect_equal(load("cased"), texts, "reviews.cased.tokens");
}

TEST(TokenizerParity, DecodedReviews) {
  const Tokenizer tokenizer = load("uncased");
  const std::vector<std::string> texts = read_texts(path_of("reviews.texts")),
                                 expected = read_texts(path_of("reviews.decoded"));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(texts[i]).ids), expected[i]) << i;
  }
}

TEST(TokenizerParity, EveryScalarBetweenTwoLetters) {
  const std::vector<std::string> texts = scalars();
  ASSERT_EQ(texts.size(), 1'112'064u);
  expect_equal(load("uncased"), texts, "scalars.uncased.tokens");
  expect_equal(load("cased"), texts, "scalars.cased.tokens");
}

TEST(TokenizerParity, NormalFormOfEveryScalar) {
  const std::vector<std::string> texts = scalars();
  expect_equal_normal_form(texts, {}, "scalars.uncased.normal");
  expect_equal_normal_form(texts, {.strip_accents = false, .lowercase = false}, "scalars.cased.normal");
}

TEST(TokenizerParity, RandomTexts) {
  const std::vector<std::string> texts = read_texts(path_of("random.texts"));
  ASSERT_EQ(texts.size(), 100'000u);
  expect_equal(load("uncased"), texts, "random.uncased.tokens");
  expect_equal(load("cased"), texts, "random.cased.tokens");
}

TEST(TokenizerParity, RandomTextsInEverySettingWithAddedTokensOfAllKinds) {
  const std::vector<std::string> texts = read_texts(path_of("random.texts"));
  for (unsigned setting = 0; setting < 16; ++setting) {
    std::vector<std::string> part;
    for (std::size_t i = setting; i < texts.size(); i += 16) part.push_back(texts[i]);
    const std::string name = "mixed_" + std::to_string(setting);
    expect_equal(load(name), part, "random." + name + ".tokens");
    expect_equal_normal_form(part,
                             {.clean_text = (setting & 1) != 0,
                              .handle_chinese_chars = (setting & 2) != 0,
                              .strip_accents = (setting & 4) != 0,
                              .lowercase = (setting & 8) != 0},
                             "random." + name + ".normal");
  }
}

TEST(TokenizerParity, TruncatedPairs) {
  const Tokenizer tokenizer = load("uncased");
  const std::vector<std::string> texts = read_texts(path_of("pairs.texts"));
  for (const auto& [name, direction] :
       {std::pair("right", TruncationDirection::right), {"left", TruncationDirection::left}}) {
    Expected expected(path_of(std::string("pairs.") + name + ".tokens"));
    ASSERT_EQ(2 * expected.size(), texts.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const EncodeOptions options{.max_length = 3 + i % 20, .direction = direction};
      ASSERT_TRUE(expected.next(tokenizer.encode(texts[2 * i], texts[2 * i + 1], options)));
    }
  }
}

}  // namespace
}  // namespace graft
