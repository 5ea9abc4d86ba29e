#include "graft/text/tokenizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "support/error_message.hpp"
#include "text/tokenizer_files.hpp"

namespace graft {
namespace {

using Ids = std::vector<std::int32_t>;

const Tokenizer& minilm() {
  static const Tokenizer tokenizer = Tokenizer::load(GRAFT_DEPS "/model");
  return tokenizer;
}

/// Without the [CLS] and [SEP] around them.
Ids inner(const Encoding& encoding) { return Ids(encoding.ids.begin() + 1, encoding.ids.end() - 1); }

std::vector<std::string> tokens(const Tokenizer& tokenizer, const Encoding& encoding) {
  std::vector<std::string> out;
  for (const std::int32_t id : encoding.ids) out.emplace_back(*tokenizer.token(id));
  return out;
}

std::vector<std::pair<int, int>> offsets(const Encoding& encoding) {
  std::vector<std::pair<int, int>> out;
  for (const TextRange range : encoding.offsets) out.emplace_back(range.begin, range.end);
  return out;
}

// Ids of bert-base-uncased's vocabulary, measured with Hugging Face's tokenizers 0.22.2 and 0.23.3.
TEST(Tokenizer, IdsOfKnownTexts) {
  const std::pair<const char*, Ids> known[] = {
      {"unaffable", {14477, 20961, 3468}},
      {"Hello WORLD [MASK].", {7592, 2088, 103, 1012}},
      {"你好 world", {100, 100, 2088}},
      {"İstanbul", {9960}},
      {"ΟΔΟΣ", {1169, 29722, 29730, 29733}},
      {"a\u200Db", {11113}},
      {"naïve façade Ångström", {15743, 8508, 17076, 15687}},
      {"[mask] [MASKED]", {1031, 7308, 1033, 1031, 16520, 1033}},
      {"ﬁne ½", {1984, 2638, 1092}},
      {"가나다", {1455, 30006, 29992, 30006, 29993, 30006}},
      {"hello\u2028world", {7592, 2088}},
      {"##ing", {1001, 1001, 13749}},
      {"", {}},
      {" ", {}},
      {" \t\r\n\u3000", {}},
      {"a\u0085b", {11113}},
  };
  for (const auto& [text, ids] : known) EXPECT_EQ(inner(minilm().encode(text)), ids) << text;
}

TEST(Tokenizer, EveryCallOfTheDocument) {
  const std::string model_directory = GRAFT_DEPS "/model";
  const std::vector<std::string> texts{"one", "two"};
  const Tokenizer tokenizer = Tokenizer::load(model_directory);
  const Encoding one = tokenizer.encode("Unaffable, isn't he?", {.max_length = 128});
  const Encoding pair = tokenizer.encode("a question", "its passage", {.max_length = 256});
  const std::vector<Encoding> many = tokenizer.encode_batch(texts, {.max_length = 128});
  const std::string text = tokenizer.decode(one.ids);
  EXPECT_EQ(text, "unaffable, isn ' t he?");
  EXPECT_EQ(pair.sequences.back(), -1);
  EXPECT_EQ(many.size(), 2u);
}

TEST(Tokenizer, PairGetsBothTypesAndItsSeparators) {
  const Encoding pair = minilm().encode("first one", "second two");
  EXPECT_EQ(pair.ids, (Ids{101, 2034, 2028, 102, 2117, 2048, 102}));
  EXPECT_EQ(pair.type_ids, (Ids{0, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(pair.special_mask, (std::vector<std::uint8_t>{1, 0, 0, 1, 0, 0, 1}));
  EXPECT_EQ(pair.sequences, (std::vector<std::int8_t>{-1, 0, 0, -1, 1, 1, -1}));
  EXPECT_EQ(offsets(pair), (std::vector<std::pair<int, int>>{{0, 0}, {0, 5}, {6, 9}, {0, 0}, {0, 6}, {7, 10}, {0, 0}}));
}

TEST(Tokenizer, OffsetsAreBytesOfTheOriginal) {
  // é is two bytes whether it is one character or two; U+200D disappears; [MASK] keeps its own place.
  EXPECT_EQ(
      offsets(minilm().encode("café un\u200Daffable [MASK]中")),
      (std::vector<std::pair<int, int>>{{0, 0}, {0, 5}, {6, 12}, {12, 15}, {15, 18}, {19, 25}, {25, 28}, {0, 0}}));
}

TEST(Tokenizer, AWordOfMoreThanAHundredCharactersIsUnknown) {
  EXPECT_GT(inner(minilm().encode(std::string(100, 'a'))).size(), 1u);
  EXPECT_EQ(inner(minilm().encode(std::string(101, 'a'))), Ids{100});
  std::string greek;
  for (int i = 0; i < 100; ++i) greek += "α";
  EXPECT_GT(inner(minilm().encode(greek)).size(), 1u) << "characters count, not bytes";
}

TEST(Tokenizer, AMillionCharactersWithoutASpace) {
  EXPECT_EQ(inner(minilm().encode(std::string(1'000'000, 'a'))), Ids{100});
  EXPECT_EQ(inner(minilm().encode(std::string(1'000'000, '^'))).size(), 1'000'000u);
  std::string marks;
  for (int i = 0; i < 500'000; ++i) marks += i % 2 ? "\u302E" : "\u0301";
  EXPECT_EQ(inner(minilm().encode(marks)), Ids{100}) << "sorted marks, of which half stay";
}

TEST(Tokenizer, NoSpecialTokensOnRequest) {
  EXPECT_EQ(minilm().encode("hello", {.add_special_tokens = false}).ids, Ids{7592});
  EXPECT_EQ(minilm().encode("a", "b", {.add_special_tokens = false}).type_ids, (Ids{0, 1}));
}

TEST(Tokenizer, TellsItsSizes) {
  EXPECT_EQ(minilm().vocabulary_size(), 30522u);
  EXPECT_EQ(minilm().id_limit(), 30522);
  EXPECT_EQ(minilm().special_tokens_added(), 2u);
  EXPECT_EQ(minilm().special_tokens_added(true), 3u);
  EXPECT_EQ(minilm().file_max_length(), 128u);
  EXPECT_EQ(minilm().id("[MASK]"), 103);
  EXPECT_EQ(minilm().id("no such token"), std::nullopt);
  EXPECT_EQ(minilm().token(7592), "hello");
  EXPECT_EQ(minilm().token(-1), std::nullopt);
  EXPECT_EQ(minilm().token(30522), std::nullopt);
}

TEST(Tokenizer, InvalidUtf8BecomesReplacementCharacters) {
  // A cased tokenizer without clean_text keeps U+FFFD, so that it can be seen.
  const auto file = tokenizer_json({"[UNK]", "[CLS]", "[SEP]", "a", "b", "\uFFFD", "##\uFFFD"},
                                   R"({"type": "BertNormalizer", "clean_text": false, "handle_chinese_chars": true,
                                       "strip_accents": false, "lowercase": false})");
  const Tokenizer tokenizer = Tokenizer::load(file.path());
  const std::pair<std::string, int> known[] = {{"\xF0\x80\x80", 3}, {"\xE2\x82", 1}, {"\xED\xA0\x80", 3}, {"\xFF", 1}};
  for (const auto& [bytes, replacements] : known) {
    const Encoding encoding = tokenizer.encode("a " + bytes + " b");
    Ids expected{1, 3, 5};
    expected.insert(expected.end(), replacements - 1, 6);
    expected.insert(expected.end(), {4, 2});
    EXPECT_EQ(encoding.ids, expected);
    const auto end = static_cast<std::uint32_t>(2 + bytes.size());
    EXPECT_EQ(encoding.offsets[encoding.size() - 3].end, end);
    EXPECT_EQ(encoding.offsets[encoding.size() - 2], (TextRange{end + 1, end + 2}));
  }
}

TEST(Tokenizer, StrictUtf8NamesTheByte) {
  EXPECT_EQ(error_message([] { minilm().encode("caf\xC3 ok", {.strict_utf8 = true}); }),
            "FormatError: byte 3 of the text is not UTF-8; convert it, or encode without strict_utf8");
  EXPECT_EQ(minilm().encode("café", {.strict_utf8 = true}).size(), 3u);
}

TEST(Tokenizer, BatchEqualsOneByOneOnAnyNumberOfThreads) {
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) texts.push_back("text number " + std::to_string(i * 7919) + " is unaffable, naïve");
  for (const unsigned threads : {0u, 1u, 3u, 16u}) {
    const auto batch = minilm().encode_batch(texts, {}, threads);
    ASSERT_EQ(batch.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Encoding one = minilm().encode(texts[i]);
      ASSERT_EQ(batch[i].ids, one.ids) << i;
      ASSERT_EQ(batch[i].offsets, one.offsets) << i;
    }
  }
  EXPECT_TRUE(minilm().encode_batch(std::vector<std::string>{}).empty());
}

TEST(Tokenizer, BatchThrowsTheFirstError) {
  std::vector<std::string> texts(5000, "some words that take a moment to encode");
  texts[1200] = "x\xFF";
  texts[4100] = "xyz\xFF";
  for (const unsigned threads : {1u, 4u}) {
    EXPECT_EQ(error_message([&] { minilm().encode_batch(texts, {.strict_utf8 = true}, threads); }),
              "FormatError: byte 1 of the text is not UTF-8; convert it, or encode without strict_utf8");
  }
}

TEST(Tokenizer, DecodesWithCleanup) {
  const Encoding encoding = minilm().encode("Unaffable, isn't he? I do not know.");
  EXPECT_EQ(minilm().decode(encoding.ids), "unaffable, isn ' t he? i do not know.");
  EXPECT_EQ(minilm().decode(encoding.ids, false), "[CLS] unaffable, isn ' t he? i do not know. [SEP]");
  EXPECT_EQ(minilm().decode(Ids{3468, 3468}), "##ble" + std::string("ble")) << "the first piece keeps its prefix";
  EXPECT_EQ(minilm().decode({}), "");
  EXPECT_EQ(error_message([] {
              minilm().decode(Ids{7592, 30522});
            }),
            "OptionError: id 30522 at place 1 is not in the vocabulary, whose ids are below 30522");
  EXPECT_EQ(error_message([] { minilm().decode(Ids{-1}); }),
            "OptionError: id -1 at place 0 is not in the vocabulary, whose ids are below 30522");
}

// Measured with tokenizers 0.23.3.
TEST(Tokenizer, AddedTokensOfWhiteSpaceMayBeTakenAlongByOthers) {
  const auto with = [](const char* lstrip, const std::string& text) {
    const std::string added = message(R"([{"id": 5, "content": "  ", "single_word": false, "lstrip": )", lstrip,
                                      R"(, "rstrip": true, "normalized": false, "special": false},
          {"id": 6, "content": "<R>", "single_word": false, "lstrip": false, "rstrip": true, "normalized": false,
           "special": false}])");
    const auto file = tokenizer_json({"[UNK]", "[CLS]", "[SEP]", "a", "b"}, bert_uncased, added);
    return offsets(Tokenizer::load(file.path()).encode(text, {.add_special_tokens = false}));
  };
  using Offsets = std::vector<std::pair<int, int>>;
  EXPECT_EQ(with("true", "a       b"), (Offsets{{0, 1}, {1, 8}, {8, 9}}));
  EXPECT_EQ(with("true", "a<R>     b"), (Offsets{{0, 1}, {1, 9}, {9, 10}}));
  EXPECT_EQ(with("false", "a       b"), (Offsets{{0, 1}, {1, 8}, {3, 8}, {5, 8}, {8, 9}}));
}

TEST(Tokenizer, AddedTokensMatchAsTheyAreTold) {
  const auto file = tokenizer_json(
      {"[UNK]", "[CLS]", "[SEP]", "a", "b", "##b", "word"}, bert_uncased,
      R"([{"id": 7, "content": "<L>", "single_word": false, "lstrip": true, "rstrip": false, "normalized": false,
           "special": true},
          {"id": 8, "content": "<R>", "single_word": false, "lstrip": false, "rstrip": true, "normalized": false,
           "special": true},
          {"id": 9, "content": "ONE", "single_word": true, "lstrip": false, "rstrip": false, "normalized": true,
           "special": false},
          {"id": 10, "content": "ONE TWO", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true,
           "special": false}])");
  const Tokenizer tokenizer = Tokenizer::load(file.path());
  const Encoding left = tokenizer.encode("a \u3000<L>b");
  EXPECT_EQ(tokens(tokenizer, left), (std::vector<std::string>{"[CLS]", "a", "<L>", "b", "[SEP]"}));
  EXPECT_EQ(left.offsets[2], (TextRange{1, 8})) << "with the white space before it";
  const Encoding right = tokenizer.encode("a<R> \tb");
  EXPECT_EQ(right.offsets[2], (TextRange{1, 6})) << "with the white space behind it";
  EXPECT_EQ(tokens(tokenizer, tokenizer.encode("a one óne, onea one two")),
            (std::vector<std::string>{"[CLS]", "a", "one", "one", "[UNK]", "[UNK]", "one two", "[SEP]"}));
  EXPECT_EQ(tokens(tokenizer, tokenizer.encode("<l>")),
            (std::vector<std::string>{"[CLS]", "[UNK]", "[UNK]", "[UNK]", "[SEP]"}))
      << "a token that is not normalized matches in its own case only";
}

// Counts checked against Hugging Face's tokenizers.
TEST(Truncation, LongestFirstCutsTheLongerText) {
  const std::string seven = "a b c d e f g", four = "h i j k";
  const auto kept = [&](const std::string& first, const std::string& second, std::size_t max_length) {
    const Encoding encoding = minilm().encode(first, second, {.max_length = max_length});
    return std::pair(std::count(encoding.sequences.begin(), encoding.sequences.end(), 0),
                     std::count(encoding.sequences.begin(), encoding.sequences.end(), 1));
  };
  EXPECT_EQ(kept(seven, four, 14), std::pair(7l, 4l));
  EXPECT_EQ(kept(seven, four, 13), std::pair(6l, 4l));
  EXPECT_EQ(kept(seven, four, 8), std::pair(3l, 2l)) << "the odd one goes to the longer text";
  EXPECT_EQ(kept(four, seven, 8), std::pair(2l, 3l));
  EXPECT_EQ(kept(seven, four, 7), std::pair(2l, 2l));
  EXPECT_EQ(kept(four, four, 8), std::pair(2l, 3l));
  EXPECT_EQ(kept(seven, four, 3), std::pair(0l, 0l));
}

TEST(Truncation, KeepsTheBeginningOrTheEnd) {
  EXPECT_EQ(minilm().encode("a b c d", {.max_length = 4}).ids, (Ids{101, 1037, 1038, 102}));
  EXPECT_EQ(minilm().encode("a b c d", {.max_length = 4, .direction = TruncationDirection::left}).ids,
            (Ids{101, 1039, 1040, 102}));
  EXPECT_EQ(minilm().encode("a b", {.max_length = 4}).size(), 4u);
  EXPECT_EQ(minilm().encode("a b", {.max_length = 0, .add_special_tokens = false}).size(), 0u);
}

TEST(Tokenizer, PairsOfOneTextAreThePairsOneByOne) {
  std::vector<std::string> seconds = {"its passage", "", "a\xCC\x81 [SEP] b", std::string(300, 'x') + " y z"};
  for (int i = 0; i < 500; ++i) seconds.push_back("passage number " + std::to_string(i));
  for (const std::string first : {"", "Unaffable question [MASK]?"}) {
    for (const std::optional<std::size_t> limit : {std::optional<std::size_t>(), std::optional<std::size_t>(7)}) {
      const EncodeOptions options{.max_length = limit};
      const std::vector<Encoding> together = minilm().encode_pairs(first, seconds, options, 2);
      ASSERT_EQ(together.size(), seconds.size());
      for (std::size_t i = 0; i < seconds.size(); ++i) {
        const Encoding alone = minilm().encode(first, seconds[i], options);
        EXPECT_EQ(together[i].ids, alone.ids) << seconds[i];
        EXPECT_EQ(together[i].type_ids, alone.type_ids);
        EXPECT_EQ(together[i].sequences, alone.sequences);
        EXPECT_EQ(together[i].cut, alone.cut);
      }
    }
  }
  EXPECT_TRUE(minilm().encode_pairs("a", {}).empty());
}

TEST(Truncation, OnlyOneTextIsCutOnRequest) {
  const auto first = minilm().encode("a b c d", "e f", {.max_length = 7, .truncation = TruncationStrategy::only_first});
  EXPECT_EQ(first.ids, (Ids{101, 1037, 1038, 102, 1041, 1042, 102}));
  const auto second =
      minilm().encode("a b", "c d e f", {.max_length = 7, .truncation = TruncationStrategy::only_second});
  EXPECT_EQ(second.ids, (Ids{101, 1037, 1038, 102, 1039, 1040, 102}));
}

TEST(Truncation, SaysWhatCannotBeCut) {
  EXPECT_EQ(error_message([] { minilm().encode("a", {.max_length = 1}); }),
            "OptionError: max_length is 1, but 2 special tokens are added; choose at least 2");
  EXPECT_EQ(
      error_message([] { minilm().encode("a b c", {.max_length = 3, .truncation = TruncationStrategy::only_second}); }),
      "OptionError: truncation is only_second, but there is no second text");
  EXPECT_EQ(
      error_message(
          [] { minilm().encode("a", "b c d e", {.max_length = 5, .truncation = TruncationStrategy::only_first}); }),
      "OptionError: truncation is only_first, but that text has 1 tokens and 3 are too many for max_length 5; choose "
      "longest_first or a larger max_length");
}

}  // namespace
}  // namespace graft
