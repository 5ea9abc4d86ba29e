#include "graft/rag/embedder.hpp"
#include "graft/models/bert.hpp"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "graft/models/save.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "graft/tensor/state.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

/// A sentence-transformers directory with a BERT of two layers and 12 words.
class EmbedderDirectory : public testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(5);
    BertConfig config;
    config.vocab_size = 12;
    config.hidden_size = 8;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 2;
    config.intermediate_size = 16;
    config.max_position_embeddings = 32;
    config.initializer_range = 0.5;
    save_pretrained(directory_ / "model", BertModel(config));
    write_file(path("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\nquery\n:\ne\n");
    write("modules.json", modules({"Transformer", "Pooling", "Normalize"}));
    write("1_Pooling/config.json", {{"word_embedding_dimension", 8}, {"pooling_mode_mean_tokens", true}});
  }

  std::filesystem::path model() const { return directory_ / "model"; }
  std::filesystem::path path(const std::string& name) const { return model() / name; }

  void write(const std::string& name, const Json& json) const {
    std::filesystem::create_directories(path(name).parent_path());
    write_file(path(name), json.dump());
  }

  static Json modules(const std::vector<std::string>& kinds) {
    Json list = Json::array();
    for (std::size_t i = 0; i < kinds.size(); ++i)
      list.push_back({{"idx", i},
                      {"name", std::to_string(i)},
                      {"path", i == 0 ? "" : std::to_string(i) + "_" + kinds[i]},
                      {"type", "sentence_transformers.models." + kinds[i]}});
    return list;
  }

  /// What the constructor says, without the directory's path.
  std::string says(const EmbedderOptions& options = {}) const {
    return replaced(error_message([&] { Embedder(model(), options); }), model().string() + "/", "");
  }

  std::string fingerprint() const { return Embedder(model()).space().model; }

  TemporaryDirectory directory_;
};

const std::vector<std::string> texts = {"a b c d", "a", "", "d c b a a a a a", "b c"};

TEST_F(EmbedderDirectory, GivesUnitVectorsInTheOrderOfTheTextsWhateverTheBatch) {
  const Embedder embedder(model());
  const torch::Tensor together = embedder.embed(texts);
  ASSERT_EQ(together.sizes(), (torch::IntArrayRef{5, 8}));
  EXPECT_EQ(together.scalar_type(), torch::kFloat32);
  EXPECT_FALSE(together.requires_grad());
  EXPECT_TRUE(torch::allclose(together.norm(2, {1}), torch::ones(5), 1e-6));
  for (const std::int64_t batch_tokens : {1, 7, 12}) {
    const Embedder other(model(), {.batch_tokens = batch_tokens});
    // float32 rounding: products of other sizes may sum in another order.
    EXPECT_TRUE(torch::allclose(other.embed(texts), together, 0, 1e-6)) << batch_tokens;
  }
  for (std::size_t i = 0; i < texts.size(); ++i)
    EXPECT_TRUE(torch::allclose(embedder.embed({&texts[i], 1}), together.slice(0, i, i + 1), 0, 1e-6)) << i;
  EXPECT_EQ(embedder.embed({}).sizes(), (torch::IntArrayRef{0, 8}));
}

TEST_F(EmbedderDirectory, PutsThePromptsBeforeQueriesAndDocuments) {
  write("config_sentence_transformers.json",
        {{"prompts", {{"query", "query : "}, {"passage", "e "}, {"other", nullptr}}}, {"similarity_fn_name", "dot"}});
  const Embedder embedder(model());
  EXPECT_EQ(embedder.query_prompt(), "query : ");
  EXPECT_EQ(embedder.document_prompt(), "e ");
  EXPECT_EQ(embedder.prompts().at("other"), "");
  EXPECT_EQ(embedder.space().metric, Metric::inner_product);
  const auto plain = [&](const std::string& text) {
    const torch::Tensor vector = embedder.embed({&text, 1});
    return std::vector<float>(vector.const_data_ptr<float>(), vector.const_data_ptr<float>() + 8);
  };
  EXPECT_EQ(embedder.query("a b"), plain("query : a b"));
  EXPECT_EQ(embedder.documents(std::vector<std::string>{"a b"}), plain("e a b"));
  EXPECT_NE(plain("a b"), plain("e a b"));
  // 32 tokens, less [CLS], [SEP] and "e".
  EXPECT_EQ(embedder.passage_tokens(), 29u);
  EXPECT_EQ(embedder.length()("a b c zz"), 4u);
}

TEST_F(EmbedderDirectory, CutsTextsAtItsLimit) {
  std::string text, longer;
  for (int i = 0; i < 30; ++i) text += "a ";
  longer = text + "b c d";
  EXPECT_EQ(Embedder(model()).max_tokens(), 32u);
  EXPECT_EQ(Embedder(model()).query(text), Embedder(model()).query(longer));
  write("sentence_bert_config.json", {{"max_seq_length", 5}, {"do_lower_case", false}});
  EXPECT_EQ(Embedder(model()).max_tokens(), 5u);
  EXPECT_EQ(Embedder(model()).query("a b c"), Embedder(model()).query("a b c d"));
  EXPECT_EQ(Embedder(model(), {.max_tokens = 6}).max_tokens(), 6u);
  // Without it, the tokenizer's limit counts if it is one.
  write("sentence_bert_config.json", Json::object());
  write("tokenizer_config.json", {{"model_max_length", 7}});
  EXPECT_EQ(Embedder(model()).max_tokens(), 7u);
  write_file(path("tokenizer_config.json"), "{\"model_max_length\": 1000000000000000019884624838656}");
  EXPECT_EQ(Embedder(model()).max_tokens(), 32u);
}

TEST_F(EmbedderDirectory, TheFingerprintChangesWithWhatChangesTheVectors) {
  const std::string before = fingerprint();
  EXPECT_EQ(before, fingerprint());
  EXPECT_EQ(Embedder(model(), {.dtype = torch::kBFloat16}).space().model, before);
  std::filesystem::rename(model(), directory_ / "renamed");
  EXPECT_EQ(Embedder(directory_ / "renamed").space().model, before);
  std::filesystem::rename(directory_ / "renamed", model());
  write("config_sentence_transformers.json", {{"prompts", {{"query", "query : "}}}});
  EXPECT_EQ(fingerprint(), before) << "only the question's vector changes";

  std::set<std::string> seen{before};
  const auto expect_new = [&](const std::string& what) { EXPECT_TRUE(seen.insert(fingerprint()).second) << what; };
  write("config_sentence_transformers.json", {{"prompts", {{"document", "e"}}}});
  expect_new("document prompt");
  write("config_sentence_transformers.json", {{"truncate_dim", 4}});
  EXPECT_EQ(Embedder(model()).width(), 4);
  expect_new("truncate_dim");
  write("config_sentence_transformers.json", Json::object());
  write("sentence_bert_config.json", {{"max_seq_length", 9}});
  expect_new("max_seq_length");
  write("1_Pooling/config.json", {{"pooling_mode", "max"}});
  expect_new("pooling");
  write("modules.json", modules({"Transformer", "Pooling"}));
  expect_new("no Normalize");
  write_file(path("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nb\na\nc\nd\nquery\n:\ne\n");
  expect_new("vocabulary");
  Json config = read_json(path("config.json"));
  config["hidden_act"] = "relu";
  write("config.json", config);
  expect_new("activation");
  BertModel encoder = load_pretrained<BertModel>(model()).model;
  {
    const torch::NoGradGuard no_grad;
    encoder->parameters().front()[11][7] += 1e-3;
  }
  save_tensors(path("model.safetensors"), named_tensors(*encoder));
  expect_new("one weight");
}

TEST_F(EmbedderDirectory, NamesWhatItDoesNotHave) {
  const struct {
    std::string file;
    Json content;
    std::string says;
  } rows[] = {
      {"modules.json", Json::object(),
       "FormatError: modules.json: is an object, but must be an array of 1 to 64 modules"},
      {"modules.json", modules({"Transformer"}), "FormatError: modules.json: has no Pooling after its Transformer"},
      {"modules.json", modules({"StaticEmbedding", "Pooling"}),
       "FormatError: modules.json: module 0: \"type\" is \"sentence_transformers.models.StaticEmbedding\", but must be "
       "a "
       "sentence_transformers Transformer, as the first must"},
      {"modules.json", modules({"Transformer", "WeightedLayerPooling"}),
       "\"type\" is \"sentence_transformers.models.WeightedLayerPooling\", but must be a sentence_transformers "
       "Pooling"},
      {"modules.json", modules({"Transformer", "Pooling", "CNN"}),
       "module 2: \"type\" is \"sentence_transformers.models.CNN\", but must be a sentence_transformers Dense, "
       "LayerNorm "
       "or Normalize; graft has no other after the Pooling"},
      {"modules.json", Json::parse(R"([{"type": "evil_code.Transformer", "path": ""}])"),
       "is \"evil_code.Transformer\""},
      {"modules.json", Json::parse(R"([{"type": "sentence_transformers.models.Transformer", "path": "../other"}])"),
       "module 0: \"path\" is \"../other\", but must be a folder within the directory"},
      {"modules.json", Json::parse(R"([{"type": "sentence_transformers.models.Transformer", "path": "/etc"}])"),
       "\"path\" is \"/etc\""},
      {"modules.json",
       Json::parse(R"([{"type": "sentence_transformers.models.Transformer", "path": "", "kwargs": ["task"]}])"),
       "module 0: \"kwargs\" is an array of 1, but must be absent or empty"},
      {"1_Pooling/config.json",
       {{"pooling_mode", "median"}},
       "FormatError: 1_Pooling/config.json: \"pooling_mode\" is \"median\", but must be one or a list of cls, max, "
       "mean, "
       "mean_sqrt_len_tokens, weightedmean, lasttoken"},
      {"1_Pooling/config.json",
       {{"pooling_mode_geometric", true}, {"gamma", 2}},
       "1_Pooling/config.json: graft does not know \"gamma\", \"pooling_mode_geometric\", which may change the "
       "vectors"},
      {"1_Pooling/config.json",
       {{"word_embedding_dimension", 9}},
       "the Pooling is for vectors of 9 numbers, the encoder's have 8"},
      {"2_Normalize/config.json",
       {{"module_input_name", "token_embeddings"}},
       "2_Normalize/config.json: \"module_input_name\" is \"token_embeddings\", but must be \"sentence_embedding\""},
      {"sentence_bert_config.json", {{"max_seq_length", 0}}, "\"max_seq_length\" is 0"},
      {"sentence_bert_config.json",
       {{"max_seq_length", 33}},
       "\"max_seq_length\" is 33, but the encoder has positions for 32 tokens; lower it"},
      {"sentence_bert_config.json",
       {{"max_seq_length", 2}},
       "OptionError: max_tokens is 2, but each text has 2 special tokens"},
      {"sentence_bert_config.json", {{"query_expansion", {{"length", 32}}}}, "\"query_expansion\" is an object"},
      {"sentence_bert_config.json", {{"model_args", {{"attn_implementation", "x"}}}}, "\"model_args\" is an object"},
      {"sentence_bert_config.json", {{"window", 3}}, "graft does not know \"window\""},
      {"sentence_bert_config.json", {{"transformer_task", "fill-mask"}}, "\"transformer_task\" is \"fill-mask\""},
      {"config_sentence_transformers.json",
       {{"similarity_fn_name", "manhattan"}},
       "\"similarity_fn_name\" is \"manhattan\", but must be \"cosine\", \"dot\" or \"euclidean\""},
      {"config_sentence_transformers.json", {{"model_type", "CrossEncoder"}}, "\"model_type\" is \"CrossEncoder\""},
      {"config_sentence_transformers.json", {{"prompts", {{"query", 3}}}}, "\"query\" is 3"},
      {"config_sentence_transformers.json",
       {{"prompts", {{"query", std::string(100, ':')}}}},
       "has 102 tokens of the 32 that a text may have with it; shorten it"},
      {"config.json",
       {{"model_type", "albert"}},
       "FormatError: config.json: \"model_type\" is \"albert\", but must be \"bert\", \"roberta\" or \"mpnet\"; graft "
       "has no encoder of another type"},
      {"config.json", {{"model_type", "mpnet"}}, "is this the config.json of an MPNet?"},
  };
  for (const auto& row : rows) {
    const bool there = std::filesystem::exists(path(row.file));
    const std::string before = there ? read_file(path(row.file), 1 << 20) : "";
    write(row.file, row.content);
    const std::string said = says();
    EXPECT_NE(said.find(row.says), std::string::npos) << row.file << " " << row.content << "\n" << said;
    there ? write_file(path(row.file), before) : void(std::filesystem::remove(path(row.file)));
  }
  EXPECT_EQ(says(), "(no error)");

  EXPECT_EQ(says({.max_tokens = 33}), "OptionError: max_tokens is 33; this encoder takes 32");
  EXPECT_EQ(says({.batch_tokens = 0}), "OptionError: batch_tokens is less than 1; a batch needs tokens, such as 4096");
  write_file(path("vocab.txt"), read_file(path("vocab.txt"), 1000) + "f\n");
  EXPECT_EQ(replaced(says(), model().string(), "model"),
            "FormatError: model: the tokenizer has ids up to 12, the encoder 12 word vectors; the two are not of one "
            "model");
  std::filesystem::remove(path("modules.json"));
  EXPECT_EQ(says(), "FileError: modules.json: there is no such file; name a sentence-transformers directory");
}

TEST_F(EmbedderDirectory, NamesWhatIsWrongWithADense) {
  write("modules.json", modules({"Transformer", "Pooling", "Dense"}));
  const Json good = {{"in_features", 8}, {"out_features", 3}, {"bias", false}};
  const auto says_of = [&](const std::string& field, const Json& value) {
    Json config = good;
    config[field] = value;
    write("2_Dense/config.json", config);
    return says();
  };
  EXPECT_NE(says_of("in_features", 7).find("\"in_features\" is 7, but must be 8, the width of what comes before"),
            std::string::npos);
  EXPECT_NE(
      says_of("activation_function", "os.system").find("\"activation_function\" is \"os.system\", but must be one"),
      std::string::npos);
  EXPECT_NE(says_of("module_input_name", "token_embeddings").find("\"module_input_name\""), std::string::npos);
  EXPECT_NE(says_of("scale", 2).find("2_Dense/config.json: graft does not know \"scale\""), std::string::npos);
  EXPECT_NE(says_of("bias", false).find("2_Dense/model.safetensors"), std::string::npos);
  write_file(path("2_Dense/pytorch_model.bin"), "x");
  EXPECT_EQ(
      says(),
      "FormatError: 2_Dense/pytorch_model.bin: is a pickle file, which can run code and is never read; convert it "
      "to safetensors");
  save_tensors(path("2_Dense/model.safetensors"), {{"linear.weight", torch::ones({3, 9})}});
  EXPECT_NE(says().find("\"linear.weight\" is [3, 9], not [3, 8]"), std::string::npos) << says();
  save_tensors(path("2_Dense/model.safetensors"), {{"linear.weight", torch::ones({3, 8})}});
  EXPECT_EQ(says(), "(no error)");
  EXPECT_EQ(Embedder(model()).width(), 3);
}

TEST_F(EmbedderDirectory, RefusesToLowerCaseBesideATokenizerThatKeepsCase) {
  write("sentence_bert_config.json", {{"do_lower_case", true}});
  EXPECT_EQ(says(), "(no error)");
  write("tokenizer_config.json", {{"do_lower_case", false}});
  write_file(path("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\nquery\n:\nA\n");
  EXPECT_NE(says().find("\"do_lower_case\" of sentence_bert_config.json is true, but the tokenizer keeps case"),
            std::string::npos)
      << says();
}

TEST_F(EmbedderDirectory, FillsAStoreAndAnswersFromIt) {
  const std::filesystem::path model_directory = model(), store_file = directory_ / "my.db";
  const std::vector<graft::Document> documents = {{"one", "a b c"}, {"two", "d"}, {"three", "e e e"}};
  const std::string question = "d";

  const graft::Embedder embedder(model_directory);
  graft::SqliteStore store(store_file);
  const graft::Chunker chunker(embedder.length(), "tokens of " + embedder.space().model,
                               {.size = embedder.passage_tokens(), .overlap = 10});
  const graft::PassageModel passages = embedder.passage_model();
  const graft::IngestReport report = graft::ingest(store, chunker, &passages, documents);

  graft::Retriever retriever(store, {.space = embedder.space()});
  const auto hits = retriever.search({.text = question, .vector = embedder.query(question), .top = 2});

  EXPECT_EQ(report.embedded, 3u);
  ASSERT_EQ(hits.size(), 2u);
  EXPECT_EQ(hits[0].document.uri, "two");
  EXPECT_NEAR(*hits[0].similarity, 1.0, 1e-6);
  EXPECT_EQ(ingest(store, chunker, &passages, documents).embedded, 0u) << "nothing changed";
  const auto snapshot = store.read();
  EXPECT_EQ(snapshot->vectors(embedder.space(), snapshot->vector_ids(embedder.space())),
            embedder.documents(std::vector<std::string>{"a b c", "d", "e e e"}));
}

TEST_F(EmbedderDirectory, TellsHowFarItIs) {
  std::int64_t texts_done = 0, tokens_done = 0;
  EmbedderOptions options;
  options.batch_tokens = 8;
  options.progress = [&](std::int64_t texts_in_batch, std::int64_t tokens) {
    texts_done += texts_in_batch;
    tokens_done += tokens;
  };
  Embedder(model(), options).embed(texts);
  EXPECT_EQ(texts_done, 5);
  EXPECT_EQ(tokens_done, 4 + 1 + 0 + 8 + 2 + 5 * 2);
}

}  // namespace
}  // namespace graft
