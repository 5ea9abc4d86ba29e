#include "graft/models/bert_config.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/models/heads.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

/// The least that a config.json must hold.
Json least() {
  return {{"model_type", "bert"},          {"vocab_size", 50},         {"hidden_size", 12},
          {"num_hidden_layers", 2},        {"num_attention_heads", 3}, {"intermediate_size", 20},
          {"max_position_embeddings", 16}, {"type_vocab_size", 2},     {"hidden_act", "gelu"}};
}

Json with(const Json& changes) {
  Json json = least();
  json.merge_patch(changes);
  return json;
}

std::string error_of(const Json& json) {
  return error_message([&] { BertConfig::from_json(json, "config.json"); });
}

TEST(BertConfig, TakesTransformersDefaults) {
  const BertConfig config = BertConfig::from_json(least(), "config.json");
  EXPECT_EQ(config.hidden_dropout_prob, 0.1);
  EXPECT_EQ(config.attention_probs_dropout_prob, 0.1);
  EXPECT_EQ(config.head_dropout(), 0.1);
  EXPECT_EQ(config.layer_norm_eps, 1e-12);
  EXPECT_EQ(config.initializer_range, 0.02);
  EXPECT_EQ(config.pad_token_id, 0);
  EXPECT_EQ(config.labels, (std::vector<std::string>{"LABEL_0", "LABEL_1"}));
  EXPECT_FALSE(config.problem_type.has_value());
  EXPECT_EQ(config.max_tokens(), 16);

  const BertConfig roberta = BertConfig::from_json(with({{"model_type", "roberta"}}), "config.json");
  EXPECT_EQ(roberta.pad_token_id, 1);
  EXPECT_EQ(roberta.max_tokens(), 14);
  EXPECT_EQ(roberta.class_name("BertForMaskedLM"), "RobertaForMaskedLM");
}

TEST(BertConfig, ReadsEveryFieldThatChangesTheResult) {
  const BertConfig config = BertConfig::from_json(with({{"hidden_act", "gelu_new"},
                                                        {"hidden_dropout_prob", 0.25},
                                                        {"attention_probs_dropout_prob", 0},
                                                        {"classifier_dropout", 0.5},
                                                        {"layer_norm_eps", 1e-5},
                                                        {"initializer_range", 0.3},
                                                        {"pad_token_id", 7},
                                                        {"tie_word_embeddings", false},
                                                        {"problem_type", "regression"},
                                                        {"label2id", {{"one", 1}, {"null", 0}, {"two", 2}}}}),
                                                  "config.json");
  EXPECT_EQ(config.hidden_act, "gelu_new");
  EXPECT_EQ(config.hidden_dropout_prob, 0.25);
  EXPECT_EQ(config.attention_probs_dropout_prob, 0.0);
  EXPECT_EQ(config.head_dropout(), 0.5);
  EXPECT_EQ(config.layer_norm_eps, 1e-5);
  EXPECT_EQ(config.initializer_range, 0.3);
  EXPECT_EQ(config.pad_token_id, 7);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.problem_type, "regression");
  EXPECT_EQ(config.labels, (std::vector<std::string>{"null", "one", "two"}));
  Json no_padding = least();
  no_padding["pad_token_id"] = nullptr;
  EXPECT_FALSE(BertConfig::from_json(no_padding, "config.json").pad_token_id.has_value());
  EXPECT_EQ(BertConfig::from_json(with({{"num_labels", 3}}), "").labels.back(), "LABEL_2");
}

TEST(BertConfig, WritesWhatItRead) {
  const Json json = with({{"classifier_dropout", 0.5},
                          {"id2label", {{"0", "no"}, {"1", "yes"}}},
                          {"problem_type", "single_label_classification"},
                          {"_name_or_path", "somewhere"},
                          {"torch_dtype", "float32"},
                          {"use_cache", true}});
  const BertConfig config = BertConfig::from_json(json, "config.json");
  const Json written = config.to_json("BertForSequenceClassification", "bfloat16");
  EXPECT_EQ(written["architectures"], Json({"BertForSequenceClassification"}));
  EXPECT_EQ(written["dtype"], "bfloat16");
  EXPECT_FALSE(written.contains("torch_dtype"));
  EXPECT_EQ(written["_name_or_path"], "somewhere");
  EXPECT_EQ(written["use_cache"], true);
  EXPECT_EQ(written["label2id"], Json({{"no", 0}, {"yes", 1}}));
  EXPECT_EQ(BertConfig::from_json(written, "again").to_json("BertForSequenceClassification", "bfloat16"), written);
}

TEST(BertConfig, NamesEveryMissingField) {
  Json json = least();
  json.erase("hidden_size");
  json.erase("vocab_size");
  json["hidden_act"] = nullptr;
  EXPECT_EQ(error_of(json),
            "FormatError: config.json: missing \"vocab_size\", \"hidden_size\", \"hidden_act\"; is this "
            "the config.json of a BERT or RoBERTa?");
}

TEST(BertConfig, RefusesWhatItCannotBe) {
  const std::vector<std::pair<Json, std::string>> cases{
      {{{"model_type", "llama"}}, "\"model_type\" is \"llama\", but must be \"bert\" or \"roberta\""},
      {{{"vocab_size", 16777217}}, "\"vocab_size\" is 16777217, but must be an integer from 1 to 16777216"},
      {{{"vocab_size", 0}}, "\"vocab_size\" is 0, but must be an integer from 1 to 16777216"},
      {{{"hidden_size", 12.0}}, "\"hidden_size\" is 12.0, but must be an integer from 1 to 1048576"},
      {{{"hidden_size", 1e300}}, "\"hidden_size\" is 1e+300, but must be an integer from 1 to 1048576"},
      {{{"num_hidden_layers", 1025}}, "\"num_hidden_layers\" is 1025, but must be an integer from 1 to 1024"},
      {{{"num_hidden_layers", -1}}, "\"num_hidden_layers\" is -1, but must be an integer from 1 to 1024"},
      {{{"num_attention_heads", 5}}, "num_attention_heads is 5, which does not divide hidden_size 12"},
      {{{"max_position_embeddings", 4194305}},
       "\"max_position_embeddings\" is 4194305, but must be an integer from 1 to 4194304"},
      {{{"hidden_act", "mish"}},
       "\"hidden_act\" is \"mish\", but must be gelu, gelu_new, gelu_pytorch_tanh, relu, silu or tanh"},
      {{{"pad_token_id", 50}}, "\"pad_token_id\" is 50, but must be an integer from 0 to 49"},
      {{{"model_type", "roberta"}, {"max_position_embeddings", 2}},
       "max_position_embeddings is 2, which leaves no room for RoBERTa's positions; they start at 2"},
      {{{"position_embedding_type", "relative_key"}},
       "\"position_embedding_type\" is \"relative_key\", but must be \"absolute\"; graft has no other"},
      {{{"is_decoder", true}}, "\"is_decoder\" is true, but must be false; graft's BERT is an encoder"},
      {{{"add_cross_attention", true}},
       "\"add_cross_attention\" is true, but must be false; graft's BERT is an encoder"},
      {{{"chunk_size_feed_forward", 8}},
       "\"chunk_size_feed_forward\" is 8, but must be 0; graft does not cut the feed-forward layers"},
      {{{"pruned_heads", {{"1", {0, 2}}}}},
       "\"pruned_heads\" is an object, but must be empty; graft does not prune heads"},
      {{{"quantization_config", {{"bits", 4}}}},
       "\"quantization_config\" is an object, but must be absent; graft loads weights of float types only"},
      {{{"problem_type", "ranking"}},
       "\"problem_type\" is \"ranking\", but must be regression, "
       "single_label_classification or multi_label_classification"}};
  for (const auto& [change, fault] : cases) EXPECT_EQ(error_of(with(change)), "FormatError: config.json: " + fault);
}

// transformers reads them all; who asks for no labels need not care.
TEST(BertConfig, LabelsThatDisagreeAreAFaultForClassifiersAlone) {
  const std::vector<std::pair<Json, std::string>> cases{
      {{{"id2label", {{"0", "no"}, {"2", "yes"}}}}, "\"id2label\": no label 1 among 2; the ids must be 0, 1, 2, ..."},
      {{{"id2label", {{"0", "no"}, {"1", "no"}}}}, "label \"no\" has two ids"},
      {{{"label2id", {{"no", 0}, {"yes", 0}}}}, "\"label2id\": id 0 has two labels, one of them \"yes\""},
      {{{"label2id", {{"no", 0}, {"yes", 5}}}}, "\"label2id\": \"yes\" is 5, but must be an integer from 0 to 1"},
      {{{"id2label", {{"0", "no"}, {"1", "yes"}}}, {"label2id", {{"no", 1}, {"yes", 0}}}},
       "\"label2id\": \"no\" is 1, but \"id2label\" calls that \"yes\""},
      {{{"id2label", {{"0", "no"}}}, {"num_labels", 3}},
       "\"num_labels\" is 3, but 1 labels are named; take one of the two out"}};
  for (const auto& [change, fault] : cases) {
    const BertConfig config = BertConfig::from_json(with(change), "config.json");
    EXPECT_EQ(config.labels_fault, "config.json: " + fault);
    EXPECT_EQ(error_message([&] { config.require_labels(); }), "FormatError: config.json: " + fault);
    EXPECT_THROW(BertForTokenClassification{config}, FormatError);
    BertForMaskedLM{config};
  }
}

}  // namespace
}  // namespace graft
