#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/output.hpp"
#include "graft/text/tokenizer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"
#include "text/tokenizer_files.hpp"

namespace graft {
namespace {

const std::vector<std::string> small = {"[UNK]", "[CLS]", "[SEP]", "a", "##b"};

Json json() { return tokenizer_json_of(small); }

Json added_token(const std::string& content, int id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", false}};
}

/// The message for a directory with this file, called FILE in it.
std::string error_of_file(const std::string& name, const std::string& text) {
  const TemporaryDirectory directory;
  write_file(directory / name, text);
  return replaced(error_message([&] { Tokenizer::load(directory.path()); }), (directory / name).string(), "FILE");
}
std::string error_of_text(const std::string& text) { return error_of_file("tokenizer.json", text); }
std::string error_of_json(const Json& json) { return error_of_text(json.dump()); }
std::string error_of_vocab(const std::string& text) { return error_of_file("vocab.txt", text); }

TEST(LoadTokenizer, VocabTxtEqualsTokenizerJson) {
  const Tokenizer from_json = Tokenizer::load(GRAFT_DEPS "/model/tokenizer.json");
  const Tokenizer from_lines = Tokenizer::load(GRAFT_DEPS "/model/vocab.txt");
  for (const char* text : {"Hello WORLD [MASK].", "unaffable naïve 你好", ""}) {
    EXPECT_EQ(from_json.encode(text).ids, from_lines.encode(text).ids);
    EXPECT_EQ(from_json.encode(text, text).type_ids, from_lines.encode(text, text).type_ids);
  }
  EXPECT_EQ(from_json.vocabulary_size(), from_lines.vocabulary_size());
}

TEST(LoadTokenizer, VocabTxtMayEndItsLinesAnyWay) {
  for (const std::string text :
       {"[UNK]\n[CLS]\n[SEP]\na\n", "[UNK]\r\n[CLS]\r\n[SEP]\r\na", "[UNK] \n[CLS]\t\n[SEP]\na"}) {
    const TemporaryDirectory directory;
    write_file(directory / "vocab.txt", text);
    const Tokenizer tokenizer = Tokenizer::load(directory.path());
    EXPECT_EQ(tokenizer.encode("A").ids, (std::vector<std::int32_t>{1, 3, 2}));
    EXPECT_EQ(tokenizer.vocabulary_size(), 4u);
  }
}

TEST(LoadTokenizer, ABlankLineOfVocabTxtTakesAnId) {
  const TemporaryDirectory directory;
  write_file(directory / "vocab.txt", "[UNK]\n\n[CLS]\n\u3000\n[SEP]\na\n");
  EXPECT_EQ(Tokenizer::load(directory.path()).encode("a").ids, (std::vector<std::int32_t>{2, 5, 4}));
}

TEST(LoadTokenizer, OfEqualLinesOfVocabTxtTheLastCounts) {
  const TemporaryDirectory directory;
  write_file(directory / "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\nb\na\n");
  const Tokenizer tokenizer = Tokenizer::load(directory.path());
  EXPECT_EQ(tokenizer.encode("a b").ids, (std::vector<std::int32_t>{1, 5, 4, 2}));
  EXPECT_EQ(tokenizer.token(3), "a");
}

TEST(LoadTokenizer, TokenizerConfigSaysHowToReadVocabTxt) {
  const TemporaryDirectory directory;
  write_file(directory / "vocab.txt", "[UNK]\n[CLS]\n[SEP]\nA\na\né\n");
  write_file(directory / "tokenizer_config.json",
             R"({"do_lower_case": false, "model_max_length": 1000000000000000019884624838656})");
  EXPECT_EQ(Tokenizer::load(directory.path()).encode("A é").ids, (std::vector<std::int32_t>{1, 3, 5, 2}));
}

TEST(LoadTokenizer, ContradictingTokenizerConfigIsAnError) {
  const auto file = tokenizer_json(small);
  write_file(file / "tokenizer_config.json", R"({"do_lower_case": false})");
  const std::string directory = file.path().string();
  EXPECT_EQ(error_message([&] { Tokenizer::load(file.path()); }),
            "FormatError: " + directory + "/tokenizer_config.json: \"do_lower_case\" is false, but " + directory +
                "/tokenizer.json: \"normalizer\" has \"lowercase\" true; make the two files agree");
}

TEST(LoadTokenizer, IdsMayLeaveGaps) {
  Json file = json();
  file["model"]["vocab"]["a"] = 16777215;
  const TokenizerJson directory(file);
  const Tokenizer tokenizer = Tokenizer::load(directory.path());
  EXPECT_EQ(tokenizer.encode("ab").ids, (std::vector<std::int32_t>{1, 16777215, 4, 2}));
  EXPECT_EQ(tokenizer.id_limit(), 16777216);
  EXPECT_EQ(tokenizer.vocabulary_size(), 5u);
  EXPECT_EQ(tokenizer.token(16777215), "a");
  EXPECT_EQ(tokenizer.token(3), std::nullopt);
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{16777215, 4}), "ab");
}

TEST(LoadTokenizer, BertProcessingEqualsItsTemplate) {
  Json file = json();
  file["post_processor"] = Json::parse(R"({"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})");
  const TokenizerJson directory(file);
  const Encoding pair = Tokenizer::load(directory.path()).encode("a", "a");
  EXPECT_EQ(pair.ids, (std::vector<std::int32_t>{1, 3, 2, 3, 2}));
  EXPECT_EQ(pair.type_ids, (std::vector<std::int32_t>{0, 0, 0, 1, 1}));
}

TEST(LoadTokenizer, RobertaProcessingHasOneTypeAndTwoSeparatorsInPairs) {
  Json file = json();
  file["post_processor"] = Json::parse(
      R"({"type": "RobertaProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1], "trim_offsets": true,
          "add_prefix_space": false})");
  const TokenizerJson directory(file);
  const Tokenizer tokenizer = Tokenizer::load(directory.path());
  EXPECT_EQ(tokenizer.encode("a").ids, (std::vector<std::int32_t>{1, 3, 2}));
  const Encoding pair = tokenizer.encode("a", "a");
  EXPECT_EQ(pair.ids, (std::vector<std::int32_t>{1, 3, 2, 2, 3, 2}));
  EXPECT_EQ(pair.type_ids, std::vector<std::int32_t>(6, 0));
}

TEST(LoadTokenizer, WithoutPostProcessorNothingIsAdded) {
  Json file = json();
  file["post_processor"] = nullptr;
  const TokenizerJson directory(file);
  const Encoding pair = Tokenizer::load(directory.path()).encode("a", "ab");
  EXPECT_EQ(pair.ids, (std::vector<std::int32_t>{3, 3, 4}));
  EXPECT_EQ(pair.type_ids, (std::vector<std::int32_t>{0, 1, 1}));
}

TEST(LoadTokenizer, UnsupportedComponentsAreNamed) {
  const auto with = [](const char* part, const char* value) {
    Json file = json();
    file[part] = Json::parse(value);
    return error_of_json(file);
  };
  const auto unsupported = [](const char* part, const char* type, const char* supported) {
    return message("FormatError: FILE: \"", part, "\": \"", type, "\" is not supported; ", supported);
  };
  EXPECT_EQ(with("normalizer", R"({"type": "Uppercase"})"),
            unsupported("normalizer", "Uppercase",
                        "supported are BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, "
                        "Prepend, Replace, Sequence, Strip, StripAccents and null"));
  EXPECT_EQ(
      with("pre_tokenizer", R"({"type": "Sentences"})"),
      unsupported("pre_tokenizer", "Sentences",
                  "supported are BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, "
                  "Punctuation, Sequence, Split, UnicodeScripts, Whitespace, WhitespaceSplit and null"));
  EXPECT_EQ(with("model", R"({"type": "Morphemes", "vocab": []})"),
            unsupported("model", "Morphemes", "supported are BPE, Unigram, WordLevel and WordPiece"));
  EXPECT_EQ(with("post_processor", R"({"type": "PairProcessing"})"),
            unsupported("post_processor", "PairProcessing",
                        "supported are TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence and "
                        "null"));
  EXPECT_EQ(with("decoder", R"({"type": "Rot13"})"),
            unsupported("decoder", "Rot13",
                        "supported are BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, "
                        "Strip, WordPiece and null"));
  EXPECT_EQ(with("version", R"("2.0")"), "FormatError: FILE: \"version\" is \"2.0\", but must be \"1.0\"");
}

TEST(LoadTokenizer, BytePairFilesAreChecked) {
  const auto with = [](const char* part, const char* value) {
    Json file = json();
    file["model"] = Json::parse(R"({"type": "BPE", "unk_token": "<unk>", "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3},
                                    "merges": ["a b"]})");
    file["added_tokens"] = Json::array();
    file["post_processor"] = file["decoder"] = file["normalizer"] = file["pre_tokenizer"] = nullptr;
    const Json change = Json::parse(value);
    if (change.is_object()) {
      file[part].update(change);
    } else {
      file[part] = change;
    }
    return error_of_json(file);
  };
  EXPECT_EQ(with("decoder", "null"), "(no error)");
  EXPECT_EQ(with("model", R"({"merges": ["a b", "a  b"]})"),
            "FormatError: FILE: \"model\": \"merges\"[1] is \"a  b\", but must be two tokens");
  EXPECT_EQ(with("model", R"({"merges": [["a"]]})"),
            "FormatError: FILE: \"model\": \"merges\"[0] is an array of 1, but must be two tokens");
  EXPECT_EQ(with("model", R"({"merges": [["b", "a"]]})"),
            "FormatError: FILE: \"model\": merge 0 of \"b\" and \"a\": the vocabulary has no token \"ba\"");
  EXPECT_EQ(
      with("model", R"({"dropout": 0.1})"),
      "FormatError: FILE: \"model\": \"dropout\" is 0.1, but must be 0 or null: the same text gives the same tokens");
  EXPECT_EQ(with("model", R"({"unk_token": ""})"), "(no error)") << "an error where it is needed, as in the reference";
  EXPECT_EQ(
      with("pre_tokenizer", R"({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated",
                                      "invert": false})"),
      "FormatError: FILE: \"pre_tokenizer\": \"pattern\": \"String\" is \"\", but must be a text that is not empty");
  EXPECT_EQ(with("pre_tokenizer", R"({"type": "Punctuation", "behavior": "Merged"})"),
            "FormatError: FILE: \"pre_tokenizer\": \"behavior\" is \"Merged\", but must be Removed, Isolated, "
            "MergedWithPrevious, MergedWithNext or Contiguous");
  EXPECT_EQ(with("pre_tokenizer", R"({"type": "CharDelimiterSplit", "delimiter": "--"})"),
            "FormatError: FILE: \"pre_tokenizer\": \"delimiter\" is \"--\", but must be one character");
  EXPECT_EQ(with("normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "?"})"),
            "FormatError: FILE: \"normalizer\": \"precompiled_charsmap\" is \"?\", but must be Base64");
  EXPECT_EQ(with("normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "CAAAAAAA"})"),
            "FormatError: FILE: \"normalizer\": rules of 6 bytes with an array of 8; the array has four or a multiple, "
            "all of them there");
}

TEST(LoadTokenizer, UnigramFilesAreChecked) {
  const auto with = [](const char* change) {
    Json file = json();
    file["added_tokens"] = Json::array();
    file["post_processor"] = file["normalizer"] = file["pre_tokenizer"] = file["decoder"] = nullptr;
    file["model"] = Json::parse(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1.5]]})");
    file["model"].update(Json::parse(change));
    return error_of_json(file);
  };
  EXPECT_EQ(with("{}"), "(no error)");
  EXPECT_EQ(with(R"({"unk_id": 2})"),
            "FormatError: FILE: \"model\": the unknown token's id is 2, but there are 2 pieces");
  EXPECT_EQ(with(R"({"vocab": [["a"]]})"),
            "FormatError: FILE: \"model\": \"vocab\"[0] is an array of 1, but must be a token and its score");
  EXPECT_EQ(with(R"({"vocab": {"a": 0}})"),
            "FormatError: FILE: \"model\": \"vocab\" is an object, but must be an array of tokens and their scores");
}

TEST(LoadTokenizer, StepsThatMultiplyTextAreErrors) {
  Json file = json();
  const Json twice = Json::parse(R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})");
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
  for (int i = 0; i < 60; ++i) file["normalizer"]["normalizers"].push_back(twice);
  EXPECT_EQ(
      error_of_json(file),
      "FormatError: FILE: \"normalizer\": \"normalizers\"[6]: \"content\" is \"aa\", but must be so short that text "
      "grows at most 64 times");
  file = json();
  file["decoder"] = {{"type", "Sequence"}, {"decoders", Json::array()}};
  for (int i = 0; i < 60; ++i) file["decoder"]["decoders"].push_back(twice);
  EXPECT_EQ(
      error_of_json(file),
      "FormatError: FILE: \"decoder\": \"decoders\"[6]: \"content\" is \"aa\", but must be so short that text grows at "
      "most 64 times");
}

TEST(LoadTokenizer, HostileVocabulariesAreErrors) {
  const auto with_vocabulary = [](const char* vocabulary) {
    Json file = json();
    file["model"]["vocab"] = Json::parse(vocabulary);
    return error_of_json(file);
  };
  EXPECT_EQ(with_vocabulary(R"({"[UNK]": 0, "a": 1, "b": 1})"),
            "FormatError: FILE: \"model\": \"vocab\": tokens \"a\" and \"b\" share the id 1; each token needs its own");
  EXPECT_EQ(with_vocabulary(R"({"[UNK]": 0, "a": 16777216})"),
            "FormatError: FILE: \"model\": \"vocab\": \"a\" is 16777216, but must be an integer from 0 to 16777215");
  EXPECT_EQ(with_vocabulary(R"({"[UNK]": -1})"),
            "FormatError: FILE: \"model\": \"vocab\": \"[UNK]\" is -1, but must be an integer from 0 to 16777215");
  EXPECT_EQ(with_vocabulary(R"({"[UNK]": 1.0})"),
            "FormatError: FILE: \"model\": \"vocab\": \"[UNK]\" is 1.0, but must be an integer from 0 to 16777215");
  EXPECT_EQ(with_vocabulary("[]"),
            "FormatError: FILE: \"model\": \"vocab\" is an array of 0, but must be an object of tokens and their ids");
  EXPECT_NE(error_of_text(R"({"model": {"type": "WordPiece", "vocab": {"a": 0, "a": 1}}})").find("\"a\""),
            std::string::npos)
      << "a repeated token";
}

TEST(LoadTokenizer, AddedTokensMustFitTheVocabulary) {
  const auto with_added = [](const Json& list) {
    Json file = json();
    file["added_tokens"] = list;
    return error_of_json(file);
  };
  EXPECT_EQ(with_added(Json::array({added_token("a", 4)})),
            "FormatError: FILE: \"added_tokens\"[0]: \"id\" is 4, but must be 3, which the model's vocabulary gives "
            "\"a\"");
  EXPECT_EQ(with_added(Json::array({added_token("<new>", 4)})),
            "FormatError: FILE: \"added_tokens\"[0]: \"id\" is 4, but must be 5, the next free one, for \"<new>\"");
  EXPECT_EQ(with_added(Json::array({added_token("<new>", 5), added_token("<new>", 6)})),
            "FormatError: FILE: \"added_tokens\"[1]: token \"<new>\" is listed twice; remove one");
  EXPECT_NE(with_added(Json::array({added_token(std::string(513, 'x'), 5)})).find("must be at most 512 bytes long"),
            std::string::npos);
  Json accent = added_token("\u0301", 5);
  accent["normalized"] = true;
  EXPECT_EQ(with_added(Json::array({accent})),
            "FormatError: FILE: nothing is left of added token \"\u0301\" after normalization; set its \"normalized\" "
            "to false");
}

TEST(LoadTokenizer, AddedTokensOfOneNormalFormAreAnError) {
  Json file = json();
  Json upper = added_token("Éa", 5), lower = added_token("ea", 6);
  upper["normalized"] = lower["normalized"] = true;
  file["added_tokens"] = Json::array({upper, lower});
  EXPECT_EQ(error_of_json(file),
            "FormatError: FILE: added tokens \"Éa\" and \"ea\" are equal after normalization; remove one, or set its "
            "\"normalized\" to false");
}

TEST(LoadTokenizer, TemplatesAreCheckedAtLoad) {
  Json undefined = json();
  undefined["post_processor"]["special_tokens"].erase("[SEP]");
  EXPECT_EQ(error_of_json(undefined),
            "FormatError: FILE: \"post_processor\": the template uses \"[SEP]\", which \"special_tokens\" does not "
            "define");
  Json wrong_id = json();
  wrong_id["post_processor"]["special_tokens"]["[SEP]"]["ids"] = {7};
  EXPECT_EQ(error_of_json(wrong_id),
            "FormatError: FILE: \"post_processor\": \"special_tokens\": \"[SEP]\": token \"[SEP]\" has id 7 here and 2 "
            "in the vocabulary");
  Json unequal = json();
  unequal["post_processor"]["special_tokens"]["[SEP]"]["ids"] = {2, 2};
  EXPECT_EQ(error_of_json(unequal),
            "FormatError: FILE: \"post_processor\": \"special_tokens\": \"[SEP]\": \"ids\" is an array of 2, but must "
            "be an array of 1 ids, one for each of \"tokens\"");
  Json without_text = json();
  without_text["post_processor"]["single"].erase(1);
  EXPECT_EQ(error_of_json(without_text),
            "FormatError: FILE: \"post_processor\": \"single\" is an array of 2, but must be a template with \"A\" "
            "once");
}

TEST(LoadTokenizer, BadVocabTxtIsAnError) {
  EXPECT_EQ(error_of_vocab("[UNK]\na\n"),
            "FormatError: FILE: no line holds [CLS], [SEP]; a BERT vocabulary needs them");
  EXPECT_EQ(error_of_vocab("[UNK]\n\xFF\n"), "FormatError: FILE: byte 6 is not UTF-8; save the file as UTF-8");
}

TEST(LoadTokenizer, MissingFilesAreErrors) {
  const TemporaryDirectory directory;
  const std::string path = directory.path().string();
  EXPECT_EQ(error_message([&] { Tokenizer::load(directory.path()); }),
            "FileError: " + path +
                ": neither tokenizer.json nor vocab.txt is there; name a directory or file with a "
                "tokenizer");
  EXPECT_EQ(error_message([&] { Tokenizer::load(path + "/nowhere"); }),
            "FileError: " + path + "/nowhere: there is no such file or directory");
  write_file(directory / "spiece.model", "x");
  EXPECT_EQ(error_message([&] { Tokenizer::load(path + "/spiece.model"); }),
            "OptionError: " + path +
                "/spiece.model: graft reads tokenizer.json, vocab.txt and GGUF files, told apart by "
                ".json, .txt and .gguf");
}

TEST(LoadTokenizer, TruncatedJsonIsAnError) {
  const std::string text = json().dump();
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, text.size() / 2, text.size() - 1}) {
    EXPECT_NE(error_of_text(text.substr(0, length)).find("FormatError: FILE"), std::string::npos) << length;
  }
}

}  // namespace
}  // namespace graft
