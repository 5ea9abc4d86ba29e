#include "graft/rag/cross_encoder.hpp"

#include <thread>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/lora.hpp"
#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/mpnet_heads.hpp"
#include "graft/models/save.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "graft/training/ranked_texts.hpp"
#include "graft/training/rerank_loss.hpp"
#include "graft/training/trainer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

/// A directory with a BERT of two layers, 12 words and one output.
class CrossEncoderDirectory : public testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(5);
    save_pretrained(model(), BertForSequenceClassification(config({"score"})));
    write_file(path("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\nquery\n:\ne\n");
  }

  static BertConfig config(std::vector<std::string> labels) {
    BertConfig config;
    config.vocab_size = 12;
    config.hidden_size = 8;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 2;
    config.intermediate_size = 16;
    config.max_position_embeddings = 32;
    config.initializer_range = 0.5;
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0;
    config.labels = std::move(labels);
    return config;
  }

  std::filesystem::path model() const { return directory_ / "model"; }
  std::filesystem::path path(const std::string& name) const { return model() / name; }
  void write(const std::string& name, const Json& json) const { write_file(path(name), json.dump()); }

  /// config.json with other members.
  void change(const Json& members) const {
    Json json = read_json(path("config.json"));
    for (const auto& [name, value] : members.items()) json[name] = value;
    write("config.json", json);
  }

  /// What the constructor says, without the directory's path.
  std::string says(const CrossEncoderOptions& options = {}) const {
    return replaced(error_message([&] { CrossEncoder(model(), options); }), model().string(), "model");
  }

  TemporaryDirectory directory_;
};

const std::vector<std::string> passages = {"a b c d", "a", "", "d c b a a a a a", "b c"};

TEST_F(CrossEncoderDirectory, ScoresInTheOrderOfThePassagesWhateverTheBatch) {
  const CrossEncoder encoder(model());
  const std::vector<double> together = encoder.score("a d", passages);
  ASSERT_EQ(together.size(), 5u);
  EXPECT_EQ(encoder.score("a d", {}).size(), 0u);
  for (const std::int64_t batch_tokens : {1, 13, 20}) {
    const std::vector<double> other = CrossEncoder(model(), {.batch_tokens = batch_tokens}).score("a d", passages);
    // float32 rounding: products of other sizes may sum in another order.
    for (std::size_t i = 0; i < passages.size(); ++i) EXPECT_NEAR(other[i], together[i], 1e-6) << batch_tokens;
  }
  for (std::size_t i = 0; i < passages.size(); ++i)
    EXPECT_NEAR(encoder.score("a d", {&passages[i], 1})[0], together[i], 1e-6) << i;
  EXPECT_GT(std::abs(together[0] - together[1]), 1e-4);
  EXPECT_GT(std::abs(encoder.score("b", passages)[0] - together[0]), 1e-4) << "the question counts";
}

TEST_F(CrossEncoderDirectory, TheActivationIsTheDirectorys) {
  const std::vector<double> logits = CrossEncoder(model()).logits("a d", passages);
  const auto expect = [&](double (*activation)(double), const std::string& what) {
    const CrossEncoder encoder(model());
    const std::vector<double> scores = encoder.score("a d", passages);
    for (std::size_t i = 0; i < passages.size(); ++i) EXPECT_NEAR(scores[i], activation(logits[i]), 1e-6) << what;
    EXPECT_EQ(encoder.logits("a d", passages), logits) << what;
  };
  const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto same = [](double x) { return x; };
  expect(logistic, "none named");
  change({{"sbert_ce_default_activation_function", "torch.nn.modules.linear.Identity"}});
  expect(same, "until version 3");
  change({{"sentence_transformers", {{"activation_fn", "torch.nn.modules.activation.Tanh"}, {"version", "5.0.0"}}}});
  expect([](double x) { return std::tanh(x); }, "versions 4 and 5, which come first");
  write("modules.json", Json::parse(R"([{"idx": 0, "name": "0", "path": "",
    "type": "sentence_transformers.base.modules.transformer.Transformer"}])"));
  write("config_sentence_transformers.json", {{"model_type", "CrossEncoder"}, {"activation_fn", "torch.nn.Identity"}});
  expect(same, "version 6");
  write("config_sentence_transformers.json", {{"model_type", "CrossEncoder"}});
  expect(logistic, "version 6, none named: config.json is not asked");
}

TEST_F(CrossEncoderDirectory, CutsPairsAtTheirLimitTheLongerTextFirst) {
  EXPECT_EQ(CrossEncoder(model()).max_tokens(), 32u);
  write("tokenizer_config.json", {{"model_max_length", 8}});
  const CrossEncoder encoder(model());
  EXPECT_EQ(encoder.max_tokens(), 8u);
  const auto score = [&](const std::string& question, const std::string& passage) {
    return encoder.score(question, {&passage, 1})[0];
  };
  // Five tokens beside the special ones.
  EXPECT_EQ(score("a b", "c d e"), score("a b", "c d e a a a"));
  EXPECT_EQ(score("a b c d e", "d"), score("a b c d", "d"));
  EXPECT_NE(score("a b c d", "d"), score("a b c", "d"));
  EXPECT_EQ(score("a b c d", "e d c b"), score("a b", "e d c")) << "both";
  EXPECT_EQ(CrossEncoder(model(), {.max_tokens = 20}).max_tokens(), 20u);
}

TEST_F(CrossEncoderDirectory, RanksTheHitsOfASearch) {
  SqliteStore store(directory_ / "my.db");
  {
    const auto writer = store.write();
    for (const std::string text : {"a b", "a c", "a d", "a e"})
      writer->put({.uri = text, .text = text}, std::vector<PassageRange>{{.begin = 0, .end = 3}});
    writer->commit();
  }
  Retriever retriever(store);
  const std::filesystem::path directory = model();
  const std::string question = "a";
  const graft::CrossEncoder reranker(directory);

  graft::Query query{.text = question};
  reranker.rerank(query);
  const auto hits = retriever.search(query);

  ASSERT_EQ(hits.size(), 4u);
  const std::vector<double> scores = reranker.score("a", std::vector<std::string>{"a b", "a c", "a d", "a e"});
  for (const Hit& hit : hits) EXPECT_EQ(hit.score, scores[static_cast<std::size_t>(hit.passage.text[2] - 'b')]);
  for (std::size_t i = 1; i < hits.size(); ++i) EXPECT_GE(hits[i - 1].score, hits[i].score);
  EXPECT_GT(hits.front().score, hits.back().score);
  query.rerank = CrossEncoder(directory).function();
  EXPECT_EQ(retriever.search(query).front().score, hits.front().score) << "it outlives the encoder";
}

TEST_F(CrossEncoderDirectory, JoinsItsLogitsWithTheScoresOfTheSearchAsItsDirectorySays) {
  SqliteStore store(directory_ / "my.db");
  {
    const auto writer = store.write();
    for (const std::string text : {"a b", "a c", "a d", "a e a"})
      writer->put({.uri = text, .text = text}, std::vector<PassageRange>{{.begin = 0, .end = text.size()}});
    writer->commit();
  }
  Retriever retriever(store);
  CrossEncoderModel trained(model());
  EXPECT_EQ(trained.rerank_weights(), RerankWeights()) << "no directory of others has any";
  trained.set_rerank_weights({0.5, 2, 3});
  trained.save(directory_ / "saved");
  EXPECT_EQ(read_json(directory_ / "saved/config.json")["graft"]["rerank_weights"],
            Json({{"reranker", 0.5}, {"vector", 2}, {"word", 3}}));
  const CrossEncoder saved(directory_ / "saved");
  EXPECT_EQ(saved.model().rerank_weights(), (RerankWeights{0.5, 2, 3}));

  Query query{.text = "a"};
  saved.rerank(query);
  const auto hits = retriever.search(query);
  ASSERT_EQ(hits.size(), 4u);
  for (std::size_t i = 0; i < hits.size(); ++i) {
    const double logit = saved.logits("a", std::vector{hits[i].passage.text})[0];
    EXPECT_NEAR(*hits[i].rerank_score, logit, 1e-6);
    EXPECT_NEAR(hits[i].score, 0.5 * logit + 3 * *hits[i].word_score, 1e-6) << "nothing was found by vector";
  }
  for (std::size_t i = 1; i < hits.size(); ++i) EXPECT_GE(hits[i - 1].score, hits[i].score);
  // least_score is of score(), whatever the weights.
  const double middle = saved.score("a", std::vector<std::string>{"a b"})[0] + 1e-6;
  std::size_t above = 0;
  for (const std::string text : {"a b", "a c", "a d", "a e a"})
    above += saved.score("a", std::vector{text})[0] >= middle;
  ASSERT_LT(above, 4u);
  for (const RerankWeights& weights : {RerankWeights(), RerankWeights{0.5, 2, 3}}) {
    saved.rerank(query, weights, middle);
    EXPECT_EQ(retriever.search(query).size(), above);
    saved.rerank(query, weights, 0);
    EXPECT_EQ(retriever.search(query).size(), 4u);
    saved.rerank(query, weights, 1.01);
    EXPECT_TRUE(retriever.search(query).empty());
  }
  EXPECT_NE(error_message([&] {
              saved.rerank(query, {1, -2, 0});
            }).find("a weight of the reranking is -2"),
            std::string::npos);

  trained.rescale(4, -1);
  EXPECT_EQ(trained.rerank_weights(), (RerankWeights{0.125, 2, 3})) << "the order stays";
  EXPECT_NE(error_message([&] {
              trained.set_rerank_weights({0, 0, 0});
            }).find("all weights of the reranking are 0"),
            std::string::npos);
  CrossEncoderModel again(directory_ / "saved");
  again.set_rerank_weights({});
  again.save(directory_ / "alone");
  EXPECT_FALSE(read_json(directory_ / "alone/config.json").contains("graft")) << "what was read is not written again";
}

TEST_F(CrossEncoderDirectory, ManyThreadsScoreAtOnce) {
  const CrossEncoder encoder(model());
  const std::vector<double> alone = encoder.score("a d", passages);
  std::vector<std::vector<double>> given(4);
  {
    std::vector<std::jthread> threads;
    for (auto& scores : given) threads.emplace_back([&] { scores = encoder.score("a d", passages); });
  }
  for (const auto& scores : given) EXPECT_EQ(scores, alone);
}

TEST_F(CrossEncoderDirectory, TellsHowFarItIs) {
  std::int64_t pairs = 0, tokens = 0, calls = 0;
  CrossEncoderOptions options;
  options.batch_tokens = 16;
  options.progress = [&](std::int64_t in_batch, std::int64_t of_them) {
    pairs += in_batch, tokens += of_them, ++calls;
  };
  CrossEncoder(model(), options).score("a d", passages);
  EXPECT_EQ(pairs, 5);
  EXPECT_EQ(tokens, 5 * 5 + 4 + 1 + 0 + 8 + 2);
  EXPECT_GT(calls, 1);
}

TEST_F(CrossEncoderDirectory, NamesWhatItDoesNotHave) {
  const Json module = {{"idx", 0}, {"name", "0"}, {"path", ""}, {"type", "sentence_transformers.models.Transformer"}};
  const struct {
    std::string file;
    Json content;
    std::string says;
  } rows[] = {
      {"config.json",
       {{"model_type", "albert"}},
       "FormatError: model/config.json: \"model_type\" is \"albert\", but must be \"bert\", \"roberta\" or \"mpnet\"; "
       "graft has no cross-encoder of another type"},
      {"config.json",
       {{"id2label", {{"0", "contradiction"}, {"1", "entailment"}, {"2", "neutral"}}}, {"label2id", nullptr}},
       "FormatError: model/config.json: \"id2label\" names 3 outputs, but a cross-encoder has one, the score; this is "
       "a "
       "classifier of another kind"},
      {"config.json",
       {{"architectures", {"BertModel"}}},
       "FormatError: model/config.json: is the config.json of an encoder without a head that gives scores; name a "
       "...ForSequenceClassification directory, or train one from this with: retriever_finetune rerank"},
      {"config.json",
       {{"sentence_transformers", {{"activation_fn", "os.system"}}}},
       "FormatError: model/config.json: \"sentence_transformers\": \"activation_fn\" is \"os.system\", but must be one "
       "of \"torch.nn.modules.activation.Sigmoid\", \"torch.nn.modules.linear.Identity\", "
       "\"torch.nn.modules.activation.Tanh\"; graft has no other activation for scores"},
      {"config.json",
       {{"sbert_ce_default_activation_function", "torch.nn.modules.activation.ReLU"}},
       "model/config.json: \"sbert_ce_default_activation_function\" is \"torch.nn.modules.activation.ReLU\", but must "
       "be one of"},
      {"config.json",
       {{"graft", {{"rerank_weights", {{"reranker", 1}, {"vector", -1}, {"word", 0}}}}}},
       "config.json: \"graft\": \"rerank_weights\": \"vector\" is -1, but must be"},
      {"config.json",
       {{"graft", {{"rerank_weights", {{"reranker", 0}, {"vector", 0}, {"word", 0}}}}}},
       "but must be weights of which one is above 0"},
      {"config.json", {{"vocab_size", 13}}, "is [12, 8], not [13, 8]"},
      {"tokenizer_config.json",
       {{"model_max_length", 4}},
       "OptionError: max_tokens is 4, but a pair has 3 special tokens and needs room for both texts; choose 5 or more"},
      {"vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\nquery\n:\ne\nf\n",
       "FormatError: model: the tokenizer has ids up to 12, the encoder 12 word vectors; the two are not of one model"},
      {"modules.json",
       {module, module},
       "FormatError: model/modules.json: is an array of 2, but must be an array of one Transformer; graft has no other "
       "cross-encoder"},
      {"modules.json",
       {{{"type", "evil_code.Transformer"}}},
       "model/modules.json: module 0: \"type\" is \"evil_code.Transformer\", but must be a sentence_transformers "
       "Transformer"},
      {"modules.json",
       {{{"type", "sentence_transformers.models.Transformer"}, {"path", "../x"}}},
       "\"path\" is \"../x\", but must be a folder within the directory"},
  };
  write("config_sentence_transformers.json", {{"model_type", "CrossEncoder"}});
  for (const auto& row : rows) {
    const bool there = std::filesystem::exists(path(row.file));
    const std::string before = there ? read_file(path(row.file), 1 << 20) : "";
    if (row.file == "config.json")
      change(row.content);
    else
      write_file(path(row.file), row.content.is_string() ? row.content.get<std::string>() : row.content.dump());
    const std::string said = says();
    EXPECT_NE(said.find(row.says), std::string::npos) << row.file << " " << row.content << "\n" << said;
    there ? write_file(path(row.file), before) : void(std::filesystem::remove(path(row.file)));
  }
  EXPECT_EQ(says(), "(no error)");
  EXPECT_EQ(says({.max_tokens = 33}), "OptionError: max_tokens is 33; this encoder takes 32");
  EXPECT_EQ(says({.batch_tokens = 0}), "OptionError: batch_tokens is less than 1; a batch needs tokens, such as 4096");

  write("modules.json", Json::array({module}));
  const std::pair<const char*, Json> uses[] = {{"transformer_task", "text-generation"},
                                               {"module_output_name", "sentence_embedding"},
                                               {"window", 3},
                                               {"max_seq_length", 33},
                                               {"modality_config", {{"image", {}}}}};
  for (const auto& [field, value] : uses) {
    write("sentence_bert_config.json", {{field, value}});
    EXPECT_NE(says().find(message("\"", field, "\"")), std::string::npos) << says();
  }
  std::filesystem::remove(path("sentence_bert_config.json"));
  write("config_sentence_transformers.json",
        {{"model_type", "CrossEncoder"}, {"default_prompt_name", "ask"}, {"prompts", Json::object()}});
  EXPECT_NE(says().find("\"default_prompt_name\" is \"ask\", but must be a name of \"prompts\""), std::string::npos)
      << says();
}

TEST_F(CrossEncoderDirectory, RefusesToLowerCaseBesideATokenizerThatKeepsCase) {
  write("modules.json", {{{"path", ""}, {"type", "sentence_transformers.models.Transformer"}}});
  write("config_sentence_transformers.json", {{"model_type", "CrossEncoder"}});
  write("sentence_bert_config.json", {{"do_lower_case", true}});
  EXPECT_EQ(says(), "(no error)");
  write("tokenizer_config.json", {{"do_lower_case", false}});
  write_file(path("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\nquery\n:\nA\n");
  EXPECT_NE(says().find("\"do_lower_case\" of sentence_bert_config.json is true, but the tokenizer keeps case"),
            std::string::npos)
      << says();
}

TEST_F(CrossEncoderDirectory, AHeadThatIsNotThereIsNotMadeUp) {
  save_pretrained(directory_ / "encoder", BertModel(config({"a", "b"})), {.tokenizer_from = model()});
  EXPECT_NE(error_message([&] { CrossEncoder(directory_ / "encoder"); }).find("an encoder without a head"),
            std::string::npos);
  Json json = read_json(directory_ / "encoder/config.json");
  json["architectures"] = {"BertForSequenceClassification"};
  json["id2label"] = {{"0", "score"}};
  json["label2id"] = {{"score", 0}};
  write_file(directory_ / "encoder/config.json", json.dump());
  EXPECT_NE(error_message([&] {
              CrossEncoder(directory_ / "encoder");
            }).find("has no \"classifier.weight\", which a cross-encoder needs"),
            std::string::npos);
}

/// A new head that learns which passage shares the question's letter.
TEST_F(CrossEncoderDirectory, IsTrainedFromAnEncoderAndSaved) {
  save_pretrained(directory_ / "encoder", BertModel(config({"a", "b"})), {.tokenizer_from = model()});
  torch::manual_seed(1);
  write_file(directory_ / "encoder/tokenizer_config.json", Json({{"model_max_length", 16}}).dump());
  const std::filesystem::path directory = directory_ / "encoder", out = directory_ / "saved";
  const graft::TrainerOptions options{.length = Epochs{200}, .batch = Sequences{4}, .lr = 1e-2};
  std::vector<GradedList> lists;
  for (const std::string letter : {"a", "b", "c", "d"}) {
    lists.push_back({letter, {}, {}});
    for (const std::string other : {"a", "b", "c", "d"}) {
      lists.back().passages.push_back(other + " e");
      lists.back().grades.push_back(letter == other ? 1 : 0);
    }
  }

  graft::CrossEncoderModel model(directory, {.new_head = true});
  const graft::RankedTexts data(lists, model.tokenizer(), model.max_tokens());
  graft::Trainer trainer(model.module(), options);
  trainer.train(data, [&](const graft::RankedTexts::Batch& batch) {
    return graft::listwise_cross_entropy(model.logits(batch.tokens), batch.grades, batch.offsets, {.grade_scale = 20});
  });
  model.module().eval();
  model.save(out);

  EXPECT_EQ(model.drawn(), (std::vector<std::string>{"classifier.weight", "classifier.bias"}));
  const CrossEncoder trained(model);
  for (const GradedList& list : lists) {
    const std::vector<double> scores = trained.score(list.question, list.passages);
    const auto best = static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    EXPECT_EQ(list.grades[best], 1) << list.question;
  }
  const std::vector<double> logits = trained.logits("b", passages);
  model.rescale(2, -1);
  const std::vector<double> rescaled = trained.logits("b", passages);
  for (std::size_t i = 0; i < passages.size(); ++i) EXPECT_NEAR(rescaled[i], 2 * logits[i] - 1, 1e-5);
  EXPECT_EQ(CrossEncoder(out).logits("b", passages), logits) << "saved before";
  model.save(out, /*replace=*/true);
  const CrossEncoder saved(out);
  EXPECT_EQ(saved.max_tokens(), 16u);
  EXPECT_EQ(saved.score("b", passages), trained.score("b", passages));
  const Json json = read_json(out / "config.json");
  EXPECT_EQ(json["sentence_transformers"]["activation_fn"], "torch.nn.modules.activation.Sigmoid");
  EXPECT_EQ(json["id2label"].size(), 1u);
  EXPECT_EQ(json["architectures"][0], "BertForSequenceClassification");
  EXPECT_NE(error_message([&] { model.save(out); }), "(no error)");
}

TEST_F(CrossEncoderDirectory, AdaptersAreMergedBeforeItIsRescaledOrSaved) {
  const CrossEncoderModel model(this->model());
  attach(model.module(), LoraOptions{.rank = 2}, {.layers = {"all-linear"}});
  CrossEncoderModel copy = model;
  EXPECT_EQ(error_message([&] {
              copy.save(directory_ / "saved");
            }).find("StateError: adapters are active that are not merged"),
            0u);
  merge(model.module());
  copy.save(directory_ / "saved");
  EXPECT_EQ(error_message([&] { copy.rescale(-1, 0); }),
            "OptionError: scores would be rescaled by -1 and 0; the first must be above 0, so that their order stays, "
            "and both finite");
}

TEST(CrossEncoder, OfMpnetTakesNoSegments) {
  const TemporaryDirectory directory;
  MpnetConfig config;
  config.vocab_size = 12;
  config.hidden_size = 8;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.intermediate_size = 16;
  config.max_position_embeddings = 34;
  config.labels = {"score"};
  torch::manual_seed(2);
  MpnetForSequenceClassification made(config);
  save_pretrained(directory / "model", made);
  write_file(directory / "model/vocab.txt", "[CLS]\n[PAD]\n[SEP]\n[UNK]\n[MASK]\na\nb\nc\nd\nquery\n:\ne\n");
  const CrossEncoder encoder(directory / "model");
  EXPECT_EQ(encoder.max_tokens(), 32u);
  made->eval();
  const Encoding pair = encoder.model().tokenizer().encode("a", "b c");
  const std::vector<std::vector<std::int32_t>> ids = {pair.ids};
  EXPECT_NEAR(encoder.logits("a", std::vector<std::string>{"b c"})[0], made->forward(pack(ids)).item<double>(), 1e-6);
}

}  // namespace
}  // namespace graft
