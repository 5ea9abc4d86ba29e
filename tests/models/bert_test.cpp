#include "graft/models/bert.hpp"

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>
#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/layers/pooling.hpp"
#include "graft/layers/relative_position.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/mpnet.hpp"
#include "support/error_message.hpp"
#include "support/small_encoders.hpp"

namespace graft {
namespace {

PackedBatch texts() {
  const std::vector<std::vector<std::int32_t>> ids{{2, 7, 9, 3}, {2, 3}, {2, 30, 31, 32, 33, 34, 3}};
  return pack(ids);
}

double difference(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(BertModel, NamesItsParametersAsTransformersDoes) {
  const BertForSequenceClassification model(small_bert());
  const auto parameters = model->named_parameters();
  const std::string layer = "bert.encoder.layer.1.";
  for (const auto& name :
       {std::string("bert.embeddings.word_embeddings.weight"), std::string("bert.embeddings.LayerNorm.bias"),
        layer + "attention.self.query.weight", layer + "attention.output.dense.bias",
        layer + "attention.output.LayerNorm.weight", layer + "intermediate.dense.weight", layer + "output.dense.weight",
        layer + "output.LayerNorm.bias", std::string("bert.pooler.dense.weight"), std::string("classifier.weight")}) {
    EXPECT_TRUE(parameters.contains(name)) << name;
  }
  EXPECT_EQ(parameters.size(), 5 + 2 * 16 + 2 + 2);
  EXPECT_TRUE(
      BertForSequenceClassification(small_bert("roberta"))->named_parameters().contains("classifier.out_proj.weight"));
  EXPECT_TRUE(BertForMaskedLM(small_bert())->named_parameters().contains("cls.predictions.transform.LayerNorm.weight"));
  EXPECT_TRUE(BertForMaskedLM(small_bert("roberta"))->named_parameters().contains("lm_head.layer_norm.weight"));
}

TEST(BertModel, TakesABatchWithALimitUnread) {
  const PackedBatch batch = texts();
  const auto limited = [&](std::int64_t limit) {
    return PackedBatch{batch.ids, batch.type_ids, batch.positions, batch.offsets, limit};
  };
  for (const auto* type : {"bert", "roberta"}) {
    BertModel model(small_bert(type));
    model->eval();
    const BertStates expected = model(batch), got = model(limited(10));
    EXPECT_LT(difference(got.hidden, expected.hidden), 1e-5);  // float32 through two layers
    EXPECT_LT(difference(got.pooled, expected.pooled), 1e-5);
  }
  EXPECT_EQ(limited(10).longest(), 10);
  EXPECT_EQ(limited(10).to(torch::kCPU).limit, 10);
  EXPECT_EQ(error_message([&] { BertModel(small_bert())->hidden(limited(17)); }),
            "ShapeError: the batch's limit is 17 tokens a sequence; the model takes 16");
  EXPECT_EQ(error_message([&] { MpnetModel(MpnetConfig{})->hidden(limited(10)); }),
            "OptionError: MPNet reads its batch on the host; give it one without a limit, as pack() makes it");
}

TEST(BertModel, GivesTheShapesItPromises) {
  const PackedBatch batch = texts();
  const BertStates states = BertModel(small_bert())->forward(batch);
  EXPECT_EQ(states.hidden.sizes(), torch::IntArrayRef({13, 12}));
  EXPECT_EQ(states.pooled.sizes(), torch::IntArrayRef({3, 12}));
  EXPECT_FALSE(BertModel(small_bert(), false)->forward(batch).pooled.defined());
  for (const auto* type : {"bert", "roberta"}) {
    EXPECT_EQ(BertForSequenceClassification(small_bert(type))(batch).sizes(), torch::IntArrayRef({3, 3}));
    EXPECT_EQ(BertForTokenClassification(small_bert(type))(batch).sizes(), torch::IntArrayRef({13, 3}));
    EXPECT_EQ(BertForMaskedLM(small_bert(type))(batch).sizes(), torch::IntArrayRef({13, 50}));
  }
}

TEST(BertModel, BatchOfOneEqualsBatchOfMany) {
  torch::manual_seed(0);
  for (const auto* type : {"bert", "roberta"}) {
    BertForTokenClassification model(small_bert(type));
    model->to(torch::kFloat64);
    model->eval();
    const PackedBatch batch = texts();
    const torch::Tensor together = model(batch);
    for (std::int64_t n = 0; n < 3; ++n) {
      const auto begin = batch.offsets[n].item<std::int64_t>(), end = batch.offsets[n + 1].item<std::int64_t>();
      std::vector<std::int32_t> ids;
      for (auto t = begin; t < end; ++t) ids.push_back(batch.ids[t].item<std::int32_t>());
      const std::vector<std::vector<std::int32_t>> alone{ids};
      // float64 rounding through two layers.
      EXPECT_LT(difference(model(pack(alone)), together.slice(0, begin, end)), 1e-13) << type << n;
    }
  }
}

// first() leaves out what only other tokens read; neither its values nor any gradient may show it.
TEST(BertModel, FirstIsTheFirstRowOfEachSequenceOfHidden) {
  torch::manual_seed(0);
  BertModel model(small_bert(), /*with_pooler=*/false);
  model->to(torch::kFloat64);
  model->eval();
  const PackedBatch batch = texts();
  const torch::Tensor probe = torch::randn({3, 12}, torch::kFloat64);
  const auto parameters = model->parameters();
  const torch::Tensor first = model->first(batch);
  const torch::Tensor plain = first_tokens(model->hidden(batch), batch.offsets);
  EXPECT_LT(difference(first, plain), 1e-13);
  const auto gradients = torch::autograd::grad({(first * probe).sum()}, parameters);
  const auto expected = torch::autograd::grad({(plain * probe).sum()}, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) EXPECT_LT(difference(gradients[i], expected[i]), 1e-12) << i;
}

TEST(BertModel, DropsOutOnlyInTraining) {
  BertForSequenceClassification model(small_bert());
  const PackedBatch batch = texts();
  EXPECT_GT(difference(model(batch), model(batch)), 0.0);
  model->eval();
  EXPECT_EQ(difference(model(batch), model(batch)), 0.0);
}

TEST(BertModel, StartsWithTheDeviationOfItsConfiguration) {
  torch::manual_seed(0);
  BertConfig config = small_bert();
  config.hidden_size = 120;
  config.initializer_range = 0.5;
  const BertForSequenceClassification model(config);
  const auto parameters = model->named_parameters();
  // 14,400 draws: the deviation is within 1 % by chance.
  EXPECT_NEAR(parameters["bert.encoder.layer.0.attention.self.key.weight"].std().item<double>(), 0.5, 0.02);
  EXPECT_NEAR(parameters["classifier.weight"].std().item<double>(), 0.5, 0.1);
  EXPECT_EQ(parameters["classifier.bias"].abs().max().item<double>(), 0.0);
  EXPECT_EQ(parameters["bert.embeddings.word_embeddings.weight"][0].abs().max().item<double>(), 0.0);
}

TEST(BertModel, RefusesABatchThatDoesNotFit) {
  BertModel model(small_bert());
  const auto run = [&](std::vector<std::vector<std::int32_t>> ids, std::vector<std::vector<std::int32_t>> types) {
    return error_message([&] { model->forward(pack(ids, types)); });
  };
  EXPECT_EQ(run({{2, 3}, {2, 50, 3}}, {}),
            "OptionError: token id 50 at token 3 of the batch; the model has 0 to 49. Was the text encoded with this "
            "model's tokenizer?");
  EXPECT_EQ(run({{2, -1}}, {}),
            "OptionError: token id -1 at token 1 of the batch; the model has 0 to 49. Was the text encoded with this "
            "model's tokenizer?");
  EXPECT_EQ(run({{2, 3}}, {{0, 2}}),
            "OptionError: type id 2 at token 1 of the batch; the model has 0 to 1. Was the text encoded with this "
            "model's tokenizer?");
  EXPECT_EQ(run({std::vector<std::int32_t>(17, 5)}, {}),
            "ShapeError: sequence 0 of the batch has 17 tokens; the model takes 16. Truncate when encoding");
  EXPECT_EQ(run({{2, 3}, {}}, {}), "ShapeError: sequence 1 of the batch has no token; leave it out");
  EXPECT_EQ(error_message([] { BertModel(small_bert(), false)->pooled(texts()); }),
            "StateError: this model was made without a pooler");
}

TEST(BertModel, RefusesAConfigurationThatIsNone) {
  BertConfig config = small_bert();
  config.num_attention_heads = 5;
  EXPECT_EQ(error_message([&] { BertModel{config}; }),
            "OptionError: num_attention_heads is 5, which does not divide hidden_size 12");
  config = small_bert("roberta");
  config.pad_token_id.reset();
  EXPECT_EQ(error_message([&] { BertModel{config}; }),
            "OptionError: pad_token_id is not set; RoBERTa counts its positions from there");
  config = small_bert();
  EXPECT_EQ(error_message([&] { BertForQuestionAnswering{config}; }),
            "OptionError: question answering has a start and an end, but the configuration has 3 labels; set two");
  config.tie_word_embeddings = false;
  EXPECT_EQ(
      error_message([&] { BertForMaskedLM{config}; }),
      "OptionError: tie_word_embeddings is false; graft's masked language model decodes with the word embeddings");
}

TEST(RobertaPositions, CountFromAfterThePaddingAndSkipIt) {
  const std::vector<std::vector<std::int32_t>> ids{{0, 9, 1, 8, 2}, {0, 1, 1, 2}, {5}};
  const PackedBatch batch = pack(ids);
  EXPECT_TRUE(torch::equal(roberta_positions(batch.ids, batch.positions, 1),
                           torch::tensor({2, 3, 1, 4, 5, 2, 1, 1, 3, 2}, torch::kInt64)));
}

// ------------------------------------------------------------------------------------------------------------- MPNet

TEST(MpnetModel, GivesTheShapesItPromisesWhateverElseIsInTheBatch) {
  MpnetModel model(small_encoder<MpnetConfig>());
  model->eval();
  const BertStates states = model(texts());
  EXPECT_EQ(states.hidden.sizes(), torch::IntArrayRef({13, 12}));
  EXPECT_EQ(states.pooled.sizes(), torch::IntArrayRef({3, 12}));
  EXPECT_FALSE(MpnetModel(small_encoder<MpnetConfig>(), false)->forward(texts()).pooled.defined());
  const std::vector<std::vector<std::int32_t>> alone{{2, 7, 9, 3}};
  EXPECT_LT(difference(model->hidden(pack(alone)), states.hidden.slice(0, 0, 4)), 1e-6);
}

TEST(MpnetModel, TakesAdaptersUnderTheNamesOfItsCheckpoints) {
  MpnetModel model(small_encoder<MpnetConfig>());
  attach(*model, LoraOptions{.rank = 2, .alpha = 4}, Targets{.layers = {"q", "v"}});
  std::size_t trained = 0;
  for (const auto& parameter : model->named_parameters()) trained += parameter->requires_grad();
  EXPECT_EQ(trained, 2 * 2 * 2);
  EXPECT_TRUE(model->named_parameters().contains("encoder.layer.1.attention.attn.q.adapters.default.lora_A"));
}

TEST(MpnetModel, NamesWhatItCannotRun) {
  MpnetModel model(small_encoder<MpnetConfig>());
  const std::vector<std::vector<std::int32_t>> longer{std::vector<std::int32_t>(15, 7)}, unknown{{0, 50, 2}};
  EXPECT_EQ(error_message([&] { model(pack(longer)); }),
            "ShapeError: sequence 0 of the batch has 15 tokens; the model takes 14. Truncate when encoding");
  EXPECT_EQ(error_message([&] { model(pack(unknown)); }),
            "OptionError: token id 50 at token 1 of the batch; the model has 0 to 49. Was the text encoded with this "
            "model's tokenizer?");
  MpnetConfig config = small_encoder<MpnetConfig>();
  config.num_attention_heads = 5;
  EXPECT_EQ(error_message([&] { MpnetModel{config}; }),
            "OptionError: num_attention_heads is 5, which does not divide hidden_size 12");
}

TEST(MpnetConfig, ReadsConfigJsonAndRefusesWhatGraftDoesNotHave) {
  const Json least{{"model_type", "mpnet"},        {"vocab_size", 50},         {"hidden_size", 12},
                   {"num_hidden_layers", 2},       {"num_attention_heads", 3}, {"intermediate_size", 20},
                   {"max_position_embeddings", 16}};
  const auto error_of = [&](const Json& changes) {
    Json json = least;
    json.merge_patch(changes);
    return error_message([&] { MpnetConfig::from_json(json, "config.json"); });
  };
  const MpnetConfig config = MpnetConfig::from_json(least, "config.json");
  EXPECT_EQ(config.max_tokens(), 14);
  EXPECT_EQ(config.to_json("MPNetModel", "float32").at("relative_attention_num_buckets"), 32);
  EXPECT_EQ(error_of({{"vocab_size", nullptr}, {"hidden_size", nullptr}}),
            "FormatError: config.json: missing \"vocab_size\", \"hidden_size\"; is this the config.json of an MPNet?");
  EXPECT_EQ(error_of({{"relative_attention_num_buckets", 64}}),
            "FormatError: config.json: \"relative_attention_num_buckets\" is 64, but must be 32, the only number that "
            "transformers computes with");
  EXPECT_EQ(error_of({{"num_attention_heads", 5}}),
            "FormatError: config.json: num_attention_heads is 5, which does not divide hidden_size 12");
}

TEST(RelativePosition, BucketsWidenWithTheDistance) {
  const torch::Tensor buckets = relative_position_buckets(200);
  ASSERT_EQ(buckets.size(0), 399);
  // Distance, bucket: by T5's formula, whose logarithms meet 16, 32 and 64 tokens exactly.
  for (const auto& [distance, bucket] : std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 0},
                                                                                           {-1, 1},
                                                                                           {1, 17},
                                                                                           {-7, 7},
                                                                                           {-8, 8},
                                                                                           {-11, 8},
                                                                                           {-12, 9},
                                                                                           {-15, 9},
                                                                                           {-16, 10},
                                                                                           {16, 26},
                                                                                           {-31, 11},
                                                                                           {-32, 12},
                                                                                           {-63, 13},
                                                                                           {-64, 14},
                                                                                           {64, 30},
                                                                                           {-90, 14},
                                                                                           {-91, 15},
                                                                                           {-199, 15},
                                                                                           {199, 31}}) {
    EXPECT_EQ(buckets[199 + distance].item<std::int64_t>(), bucket) << distance;
  }
}

}  // namespace
}  // namespace graft
