// graft's tokenizer against Hugging Face's, text by text. The references are written by
// tests/reference/tokenizer_parity.py, whose first lines explain the files.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {
namespace {

using Numbers = std::vector<std::uint32_t>;

class Reader {
 public:
  explicit Reader(const std::string& name) : bytes_(read_file(GRAFT_REFERENCE "/tokenizer/" + name, 1 << 30)) {}

  Numbers numbers(std::size_t count) {
    Numbers out(count);
    const std::string_view part = text(count * sizeof(std::uint32_t));
    std::memcpy(out.data(), part.data(), part.size());
    return out;
  }
  std::string_view text(std::size_t length) {
    if (length > bytes_.size() - at_) throw std::runtime_error("the reference ends early");
    return std::string_view(bytes_).substr(std::exchange(at_, at_ + length), length);
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

std::vector<std::string> read_texts(const std::string& name) {
  Reader reader(name);
  std::vector<std::string> texts;
  for (const std::uint32_t length : reader.numbers(reader.numbers(1)[0])) texts.emplace_back(reader.text(length));
  return texts;
}

/// What the reference makes of each text of a list, in order.
class Expected {
 public:
  explicit Expected(const std::string& name) {
    Reader reader(name);
    counts_ = reader.numbers(reader.numbers(1)[0]);
    std::size_t tokens = 0;
    for (const std::uint32_t count : counts_) tokens += count;
    ids_ = reader.numbers(tokens);
    offsets_ = reader.numbers(2 * tokens);
  }

  std::size_t size() const { return counts_.size(); }

  /// Whether `ours` is what comes next.
  testing::AssertionResult next(const Encoding& ours) {
    const std::size_t begin = at_, end = at_ += counts_[text_++];
    bool equal = ours.size() == end - begin;
    for (std::size_t i = begin; equal && i < end; ++i) {
      const TextRange range = ours.offsets[i - begin];
      equal = static_cast<std::uint32_t>(ours.ids[i - begin]) == ids_[i] && range.begin == offsets_[2 * i] &&
              range.end == offsets_[2 * i + 1];
    }
    if (equal) return testing::AssertionSuccess();
    testing::AssertionResult failure = testing::AssertionFailure() << "text " << text_ - 1 << "\n expected";
    for (std::size_t i = begin; i < end; ++i) {
      failure << " " << ids_[i] << "[" << offsets_[2 * i] << "," << offsets_[2 * i + 1] << ")";
    }
    failure << "\n      got";
    for (std::size_t i = 0; i < ours.size(); ++i) {
      failure << " " << ours.ids[i] << "[" << ours.offsets[i].begin << "," << ours.offsets[i].end << ")";
    }
    return failure;
  }

 private:
  Numbers counts_, ids_, offsets_;
  std::size_t text_ = 0, at_ = 0;
};

Tokenizer load(const std::string& name) { return Tokenizer::load(GRAFT_REFERENCE "/tokenizer/" + name); }

/// For messages: every byte outside printable ASCII as \xNN.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text) {
    char buffer[8];
    std::snprintf(buffer, sizeof buffer, c >= ' ' && c < 127 ? "%c" : "\\x%02x", static_cast<unsigned char>(c));
    out += buffer;
  }
  return out;
}

void expect_equal(const Tokenizer& tokenizer, const std::vector<std::string>& texts, const std::string& reference) {
  Expected expected(reference);
  ASSERT_EQ(expected.size(), texts.size());
  const std::vector<Encoding> encodings = tokenizer.encode_batch(texts);
  for (std::size_t i = 0, failures = 0; i < texts.size() && failures < 10; ++i) {
    const auto result = expected.next(encodings[i]);
    failures += !result;
    EXPECT_TRUE(result) << reference << ": " << shown(texts[i]);
  }
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
  const std::vector<std::string> expected = read_texts(reference);
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
  const std::vector<std::string> texts = read_texts("reviews.texts");
  ASSERT_EQ(texts.size(), 10605u + 3708u);
  expect_equal(load("uncased"), texts, "reviews.uncased.tokens");
  expect_equal(load("cased"), texts, "reviews.cased.tokens");
}

TEST(TokenizerParity, DecodedReviews) {
  const Tokenizer tokenizer = load("uncased");
  const std::vector<std::string> texts = read_texts("reviews.texts"), expected = read_texts("reviews.decoded");
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
  const std::vector<std::string> texts = read_texts("random.texts");
  ASSERT_EQ(texts.size(), 100'000u);
  expect_equal(load("uncased"), texts, "random.uncased.tokens");
  expect_equal(load("cased"), texts, "random.cased.tokens");
}

TEST(TokenizerParity, RandomTextsInEverySettingWithAddedTokensOfAllKinds) {
  const std::vector<std::string> texts = read_texts("random.texts");
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
  const std::vector<std::string> texts = read_texts("pairs.texts");
  for (const auto& [name, direction] :
       {std::pair("right", TruncationDirection::right), {"left", TruncationDirection::left}}) {
    Expected expected(std::string("pairs.") + name + ".tokens");
    ASSERT_EQ(2 * expected.size(), texts.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const EncodeOptions options{.max_length = 3 + i % 20, .direction = direction};
      ASSERT_TRUE(expected.next(tokenizer.encode(texts[2 * i], texts[2 * i + 1], options)));
    }
  }
}

}  // namespace
}  // namespace graft
