#include "graft/text/bpe.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "graft/text/detail/byte_alphabet.hpp"
#include "graft/text/detail/normal_form.hpp"
#include "graft/text/detail/word_patterns.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

Vocabulary numbered(const std::vector<std::string>& tokens) {
  std::vector<Vocabulary::Entry> entries;
  for (const std::string& token : tokens) entries.push_back({token, static_cast<std::int32_t>(entries.size())});
  return Vocabulary(entries, "test");
}

/// What the model makes of each word, as "text text".
std::string tokens_of(const SubwordModel& model, std::string_view text) {
  std::vector<Token> tokens;
  const TextRange words[] = {{0, static_cast<std::uint32_t>(text.size())}};
  model.encode(text, words, tokens);
  std::string out;
  for (const Token& token : tokens) {
    if (!out.empty()) out += ' ';
    out += *model.vocabulary().token(token.id);
    out += message('[', token.range.begin, ',', token.range.end, ')');
  }
  return out;
}

/// All bytes as the alphabet spells them, then `more`.
Vocabulary byte_vocabulary(std::vector<std::string> more) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(detail::ByteAlphabet::instance().spelled(std::string(1, static_cast<char>(byte))));
  }
  tokens.insert(tokens.end(), more.begin(), more.end());
  return numbered(tokens);
}

TEST(ByteBpe, MergesTheLowestRankFirstThenTheLeftmost) {
  const std::vector<BpeMerge> merges = {{"b", "c"}, {"a", "b"}, {"a", "bc"}, {"a", "a"}};
  const ByteBpe model(byte_vocabulary({"bc", "ab", "abc", "aa"}), merges);
  EXPECT_EQ(tokens_of(model, "abc"), "abc[0,3)");
  EXPECT_EQ(tokens_of(model, "abab"), "ab[0,2) ab[2,4)");
  EXPECT_EQ(tokens_of(model, "aaa"), "aa[0,2) a[2,3)") << "of equal pairs the left one";
  EXPECT_EQ(tokens_of(model, ""), "");
}

TEST(ByteBpe, LongWordsMergeAsShortOnes) {
  // Long words go through a queue, short ones are searched through: cut at a byte that merges with nothing, the parts
  // of a long word must come out as they do alone.
  const std::vector<BpeMerge> merges = {{"a", "b"}, {"b", "a"}, {"ab", "a"}, {"ab", "ab"}, {"aba", "b"}, {"a", "a"}};
  const ByteBpe model(byte_vocabulary({"ab", "ba", "aba", "abab", "aa"}), merges);
  std::vector<Token> together, apart;
  std::string word;
  std::vector<TextRange> parts;
  unsigned state = 7;
  for (int part = 0; part < 200; ++part) {
    const auto begin = static_cast<std::uint32_t>(word.size());
    for (int i = 0; i < 12; ++i) word += (state = state * 1664525 + 1013904223) >> 31 ? 'a' : 'b';
    parts.push_back({begin, static_cast<std::uint32_t>(word.size())});
    word += '-';
    parts.push_back({parts.back().end, parts.back().end + 1});
  }
  const TextRange whole[] = {{0, static_cast<std::uint32_t>(word.size())}};
  model.encode(word, whole, together);
  model.encode(word, parts, apart);
  ASSERT_EQ(together.size(), apart.size());
  for (std::size_t i = 0; i < apart.size(); ++i) {
    EXPECT_EQ(together[i].id, apart[i].id) << i;
    EXPECT_EQ(together[i].range, apart[i].range) << i;
  }
}

TEST(ByteBpe, TwoMegabytesOfOneCharacterAreOneWord) {
  const std::vector<BpeMerge> merges = {{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}};
  const ByteBpe model(byte_vocabulary({"aa", "aaaa", "aaaaaaaa"}), merges);
  const std::string text(2'000'001, 'a');
  const TextRange words[] = {{0, 2'000'001}};
  std::vector<Token> tokens;
  model.encode(text, words, tokens);
  ASSERT_EQ(tokens.size(), 250'001u);
  EXPECT_EQ(tokens.back().range, (TextRange{2'000'000, 2'000'001}));
}

TEST(ByteBpe, WholeWordsComeBeforeMerges) {
  const Vocabulary vocabulary = byte_vocabulary({"\u0120he", "he"});
  const std::vector<BpeMerge> merges = {{"h", "e"}};
  EXPECT_EQ(tokens_of(ByteBpe(vocabulary, merges), " he"), "\u0120[0,1) he[1,3)");
  EXPECT_EQ(tokens_of(ByteBpe(vocabulary, merges, {.whole_words = true}), " he"), "\u0120he[0,3)");
}

TEST(ByteBpe, AByteThatTheVocabularyLacksIsUnknownOrNothing) {
  EXPECT_EQ(tokens_of(ByteBpe(numbered({"a", "?"}), {}, {.unknown_token = "?"}), "a\1a"), "a[0,1) ?[1,2) a[2,3)");
  // Measured with tokenizers 0.23.3: what is spelled after a missing byte moves up by as much as that is spelled with.
  EXPECT_EQ(tokens_of(ByteBpe(numbered({"a"}), {}), "aéa"), "a[0,1) a[1,2)");
}

TEST(ByteBpe, RefusesAVocabularyThatDoesNotFit) {
  const std::vector<BpeMerge> merges = {{"a", "b"}, {"a", "c"}};
  EXPECT_EQ(error_message([&] {
              ByteBpe(numbered({"a", "b", "ab"}), merges);
            }),
            "FormatError: merge 1 of \"a\" and \"c\": the vocabulary has no token \"c\"");
  EXPECT_EQ(error_message([&] {
              ByteBpe(numbered({"a", "b"}), merges);
            }),
            "FormatError: merge 0 of \"a\" and \"b\": the vocabulary has no token \"ab\"");
}

TEST(ByteBpe, AnUnknownTokenThatIsMissingIsAnErrorWhereItIsNeeded) {
  const ByteBpe model(numbered({"a"}), {}, {.unknown_token = "<unk>"});
  EXPECT_EQ(tokens_of(model, "aa"), "a[0,1) a[1,2)");
  EXPECT_EQ(error_message([&] { tokens_of(model, "ab"); }),
            "FormatError: the vocabulary has neither \"ab\" nor the token \"<unk>\", which stands for what is unknown; "
            "add it or name the one that does");
  EXPECT_EQ(error_message([&] { tokens_of(CharacterBpe(numbered({"a"}), {}, {.unknown_token = "<unk>"}), "ab"); }),
            "FormatError: the vocabulary has neither \"b\" nor the token \"<unk>\", which stands for what is unknown; "
            "add it or name the one that does");
}

TEST(CharacterBpe, FallsBackToBytesIfAllAreThere) {
  const CharacterBpe model(numbered({"<unk>", "a", "<0xC3>", "<0xA9>"}), {},
                           {.unknown_token = "<unk>", .byte_fallback = true});
  EXPECT_EQ(tokens_of(model, "aé"), "a[0,1) <0xC3>[1,2) <0xA9>[2,3)");
  EXPECT_EQ(tokens_of(model, "aè"), "a[0,1) <unk>[1,3)");
}

TEST(CharacterBpe, FusesUnknownCharactersOnRequest) {
  const Vocabulary vocabulary = numbered({"<unk>", "a"});
  EXPECT_EQ(tokens_of(CharacterBpe(vocabulary, {}, {.unknown_token = "<unk>"}), "xya"), "<unk>[0,1) <unk>[1,2) a[2,3)");
  EXPECT_EQ(tokens_of(CharacterBpe(vocabulary, {}, {.unknown_token = "<unk>", .fuse_unknown = true}), "xya"),
            "<unk>[0,2) a[2,3)");
}

// Measured with tokenizers 0.23.3, here and in the next test.
TEST(CharacterBpe, WhatNothingStandsForLeavesNoToken) {
  const std::vector<BpeMerge> merges = {{"a", "b"}};
  EXPECT_EQ(tokens_of(CharacterBpe(numbered({"a", "b", "ab"}), merges), "xab"), "ab[0,2)");
  EXPECT_EQ(tokens_of(CharacterBpe(numbered({"a", "b", "ab"}), merges), "axb"), "ab[0,2)");
  EXPECT_EQ(tokens_of(CharacterBpe(numbered({"a", "<0xC3>"}), {}, {.byte_fallback = true}), "aéa"), "a[0,1) a[1,2)");
}

TEST(CharacterBpe, MarksWherePiecesStandInTheirWord) {
  const std::vector<BpeMerge> continued = {{"a", "##b"}}, ended = {{"a", "b</w>"}, {"a", "b"}};
  const CharacterBpe prefix(numbered({"<unk>", "a", "ab", "##b", "##a"}), continued,
                            {.unknown_token = "<unk>", .continuing_prefix = "##"});
  EXPECT_EQ(tokens_of(prefix, "aba"), "ab[0,2) ##a[2,3)");
  EXPECT_EQ(tokens_of(prefix, "xab"), "<unk>[0,1) ##a[1,2) ##b[2,3)");
  const CharacterBpe suffix(numbered({"<unk>", "a", "b", "ab", "b</w>", "ab</w>", "a</w>"}), ended,
                            {.unknown_token = "<unk>", .word_suffix = "</w>"});
  EXPECT_EQ(tokens_of(suffix, "ab"), "ab</w>[0,2)");
  EXPECT_EQ(tokens_of(suffix, "aba"), "ab[0,2) a</w>[2,3)");
  EXPECT_EQ(tokens_of(suffix, "xab"), "<unk>[0,1) ab</w>[1,3)");
}

TEST(CharacterBpe, MergesTheLeftmostFirstWhereNoneIsBetter) {
  const std::vector<BpeMerge> merges = {{"b", "c"}, {"a", "b"}};
  const Vocabulary vocabulary = numbered({"a", "b", "c", "ab", "bc"});
  EXPECT_EQ(tokens_of(CharacterBpe(vocabulary, merges), "abc"), "a[0,1) bc[1,3)");
  EXPECT_EQ(tokens_of(CharacterBpe(vocabulary, merges, {.leftmost_first = true}), "abc"), "ab[0,2) c[2,3)");
}

template <class WordPattern>
std::string cut(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = WordPattern::match(text, at);
    if (end <= at) return "no progress";
    out += (out.empty() ? "" : "|") + std::string(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(WordPatterns, CutAsTheirExpressions) {
  EXPECT_EQ(cut<detail::Gpt2Pattern>("It's  12345 x!?\n\n y  "), "It|'s| | 12345| x|!?|\n\n| y|  ");
  EXPECT_EQ(cut<detail::Llama3Pattern<3>>("IT'S  12345 x!?\n\n y  "), "IT|'S| | |123|45| x|!?\n\n| y|  ");
  EXPECT_EQ(cut<detail::Llama3Pattern<1>>("a12 \r\n \tb"), "a|1|2| \r\n| |\tb");
  EXPECT_EQ(cut<detail::DigitsPattern<1>>("a12b"), "a|1|2|b");
  EXPECT_EQ(cut<detail::DigitsPattern<SIZE_MAX>>("a12b"), "a|12|b");
}

TEST(NormalForm, OriginsOfComposedCharactersAreThoseOfTheFirstCharacter) {
  AlignedText text;
  std::uint32_t at = 0;
  for (const char32_t c : std::u32string(U"xe\u0301y")) {
    const std::uint32_t length = c < 0x80 ? 1 : 2;
    text.append(c, {at, at + length});
    at += length;
  }
  detail::NormalForm(detail::NormalFormKind::nfc).apply(text);
  EXPECT_EQ(text.bytes, "x\u00E9y");
  EXPECT_EQ(text.origin, (std::vector<TextRange>{{0, 1}, {1, 2}, {1, 2}, {4, 5}}));
}

}  // namespace
}  // namespace graft
