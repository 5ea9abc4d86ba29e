#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/text/tokenizer.hpp"
#include "support/error_message.hpp"
#include "text/tokenizer_files.hpp"

// What each component does by itself. Every expected value is that of Hugging Face's tokenizers 0.23.3; compositions
// are compared by parity/composition_parity_test.cpp.

namespace graft::components_test {
namespace {

/// A tokenizer whose words are all tokens, with these parts.
Json file_of(const std::vector<std::string>& words, const char* part, const std::string& value) {
  Json vocabulary{{"[UNK]", 0}};
  for (const std::string& word : words) vocabulary.emplace(word, vocabulary.size());
  Json file{{"version", "1.0"}, {"added_tokens", Json::array()}};
  file["model"] = {{"type", "WordLevel"}, {"vocab", vocabulary}, {"unk_token", "[UNK]"}};
  file[part] = Json::parse(value);
  return file;
}

std::string shown(const Tokenizer& tokenizer, const std::string& text) {
  const Encoding encoding = tokenizer.encode(text);
  std::string out;
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    out += message(i > 0 ? "|" : "", *tokenizer.token(encoding.ids[i]), '[', encoding.offsets[i].begin, ',',
                   encoding.offsets[i].end, ')');
  }
  return out;
}

struct Words {
  const char* component;
  std::vector<std::string> pieces;  ///< with where each comes from
};

/// The words are the pieces without what stands in brackets behind them.
std::string with(const char* part, const Words& wanted, const std::string& text) {
  std::vector<std::string> words;
  for (const std::string& piece : wanted.pieces) words.push_back(piece.substr(0, piece.rfind('[')));
  const TokenizerJson directory(file_of(words, part, wanted.component));
  return shown(Tokenizer::load(directory.path()), text);
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces) out += (out.empty() ? "" : "|") + piece;
  return out;
}

TEST(Normalizers, EachDoesWhatTheReferenceDoes) {
  const std::string text = "  Éa  ﬁ½ ";
  const Words known[] = {
      {R"({"type": "NFD"})", {"  Éa  ﬁ½ [0,13)"}},
      {R"({"type": "NFKC"})", {"  Éa  fi1⁄2 [0,13)"}},
      {R"({"type": "NFKD"})", {"  Éa  fi1⁄2 [0,13)"}},
      {R"({"type": "Lowercase"})", {"  éa  ﬁ½ [0,13)"}},
      {R"({"type": "StripAccents"})", {"  Éa  ﬁ½ [0,13)"}},
      {R"({"type": "Strip", "strip_left": true, "strip_right": true})", {"Éa  ﬁ½[2,12)"}},
      {R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"})", {"_Éa_ﬁ½ [1,13)"}},
      {R"({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]})",
       {"  ea  ﬁ½ [0,13)"}},
      {R"({"type": "ByteLevel"})", {"ĠĠÃīaĠĠï¬ģÂ½Ġ[0,13)"}},
  };
  for (const Words& each : known) EXPECT_EQ(with("normalizer", each, text), joined(each.pieces)) << each.component;
  const Words nmt{R"({"type": "Nmt"})", {"a b c[0,7)"}};
  EXPECT_EQ(with("normalizer", nmt, "a\tb\u200Bc\a"), joined(nmt.pieces));
}

TEST(PreTokenizers, EachCutsWhereTheReferenceCuts) {
  const std::string text = "It's 12½--ok, né?";
  const Words known[] = {
      {R"({"type": "Whitespace"})",
       {"It[0,2)", "'[2,3)", "s[3,4)", "12[5,7)", "½--[7,11)", "ok[11,13)", ",[13,14)", "né[15,18)", "?[18,19)"}},
      {R"({"type": "WhitespaceSplit"})", {"It's[0,4)", "12½--ok,[5,14)", "né?[15,19)"}},
      {R"({"type": "BertPreTokenizer"})",
       {"It[0,2)", "'[2,3)", "s[3,4)", "12½[5,9)", "-[9,10)", "-[10,11)", "ok[11,13)", ",[13,14)", "né[15,18)",
        "?[18,19)"}},
      {R"({"type": "Punctuation", "behavior": "Removed"})", {"It[0,2)", "s 12½[3,9)", "ok[11,13)", " né[14,18)"}},
      {R"({"type": "Punctuation", "behavior": "Isolated"})",
       {"It[0,2)", "'[2,3)", "s 12½[3,9)", "-[9,10)", "-[10,11)", "ok[11,13)", ",[13,14)", " né[14,18)", "?[18,19)"}},
      {R"({"type": "Punctuation", "behavior": "MergedWithPrevious"})",
       {"It'[0,3)", "s 12½-[3,10)", "-[10,11)", "ok,[11,14)", " né?[14,19)"}},
      {R"({"type": "Punctuation", "behavior": "MergedWithNext"})",
       {"It[0,2)", "'s 12½[2,9)", "-[9,10)", "-ok[10,13)", ", né[13,18)", "?[18,19)"}},
      {R"({"type": "Punctuation", "behavior": "Contiguous"})",
       {"It[0,2)", "'[2,3)", "s 12½[3,9)", "--[9,11)", "ok[11,13)", ",[13,14)", " né[14,18)", "?[18,19)"}},
      {R"({"type": "Digits", "individual_digits": false})", {"It's [0,5)", "12½[5,9)", "--ok, né?[9,19)"}},
      {R"({"type": "Digits", "individual_digits": true})",
       {"It's [0,5)", "1[5,6)", "2[6,7)", "½[7,9)", "--ok, né?[9,19)"}},
      {R"({"type": "CharDelimiterSplit", "delimiter": "-"})", {"It's 12½[0,9)", "ok, né?[11,19)"}},
      {R"({"type": "Split", "pattern": {"Regex": "\\d|-"}, "behavior": "MergedWithNext", "invert": false})",
       {"It's [0,5)", "1[5,6)", "2½[6,9)", "-[9,10)", "-ok, né?[10,19)"}},
      {R"({"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": true})",
       {" [4,5)", " [14,15)"}},
      {R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": true})",
       {"_It's[0,4)", "_12½--ok,[4,14)", "_né?[14,19)"}},
      {R"({"type": "FixedLength", "length": 6})", {"It's 1[0,6)", "2½--ok[6,13)", ", né?[13,19)"}},
      {R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})",
       {"ĠIt[0,2)", "'s[2,4)", "Ġ12Â½[4,9)", "--[9,11)", "ok[11,13)", ",[13,14)", "ĠnÃ©[14,18)", "?[18,19)"}},
      {R"({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]})",
       {"▁It's[0,4)", "▁12½--ok,[5,14)", "▁né?[15,19)"}},
      {R"({"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Isolated"}, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}, {"type": "FixedLength", "length": 2}]})",
       {"It[0,2)", "'[2,3)", "sĠ[3,5)", "12[5,7)", "Â½[7,9)", "-[9,10)", "-[10,11)", "ok[11,13)", ",[13,14)",
        "Ġn[14,16)", "Ã©[16,18)", "?[18,19)"}},
  };
  for (const Words& each : known) EXPECT_EQ(with("pre_tokenizer", each, text), joined(each.pieces)) << each.component;
  const Words scripts{R"({"type": "UnicodeScripts"})",
                      {"ab [0,3)", "どこで生れ[3,18)", "。[18,21)", "Yes [21,25)", "ж[25,27)", "a[27,28)"}};
  EXPECT_EQ(with("pre_tokenizer", scripts, "ab どこで生れ。Yes жa"), joined(scripts.pieces));
}

TEST(Decoders, EachJoinsAsTheReferenceJoins) {
  const std::vector<std::string> tokens{"▁He", "##llo</w>", "<0xC3>", "<0xA9>", "a", "a", "|", "Ġx", "!"};
  const std::pair<const char*, const char*> known[] = {
      {R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})",
       "▁He##llo</w><0xC3><0xA9>aa| x!"},
      {R"({"type": "WordPiece", "prefix": "##", "cleanup": true})", "▁Hello</w> <0xC3> <0xA9> a a | Ġx!"},
      {R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})",
       "He##llo</w><0xC3><0xA9>aa|Ġx!"},
      {R"({"type": "BPEDecoder", "suffix": "</w>"})", "▁He##llo <0xC3><0xA9>aa|Ġx!"},
      {R"({"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": true})",
       "▁He##llo</w><0xC3><0xA9> Ġx!"},
      {R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})",
       "He##llo</w>éaa|Ġx!"},
      {R"({"type": "Replace", "pattern": {"Regex": "[a-z]"}, "content": "_"})", "▁H_##___</_><0_C3><0_A9>__|Ġ_!"},
      {R"(null)", "▁He ##llo</w> <0xC3> <0xA9> a a | Ġx !"},
  };
  for (const auto& [component, text] : known) {
    const TokenizerJson directory(file_of(tokens, "decoder", component));
    const Tokenizer tokenizer = Tokenizer::load(directory.path());
    std::vector<std::int32_t> ids;
    for (const std::string& token : tokens) ids.push_back(*tokenizer.id(token));
    EXPECT_EQ(tokenizer.decode(ids), text) << component;
  }
}

TEST(Expressions, BrokenOnesAreErrorsWithTheirPlace) {
  const TokenizerJson directory(file_of({}, "pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "(a"},
                                                                 "behavior": "Isolated", "invert": false})"));
  EXPECT_EQ(
      replaced(error_message([&] { Tokenizer::load(directory.path()); }), directory.path().string(), "DIR"),
      "FormatError: DIR/tokenizer.json: \"pre_tokenizer\": \"pattern\": the regular expression \"(a\" is broken: end "
      "pattern with unmatched parenthesis");
}

TEST(Expressions, WhatTakesForEverIsAnError) {
  const TokenizerJson directory(file_of({}, "pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "(a|aa)+$"},
                                                                 "behavior": "Isolated", "invert": false})"));
  const Tokenizer tokenizer = Tokenizer::load(directory.path());
  EXPECT_EQ(shown(tokenizer, "aaaa"), "[UNK][0,4)");
  EXPECT_EQ(error_message([&] { tokenizer.encode(std::string(60, 'a') + "b"); }),
            "FormatError: the regular expression \"(a|aa)+$\" takes too long on a text of 61 bytes; correct it in the "
            "tokenizer's file");
}

}  // namespace
}  // namespace graft::components_test
