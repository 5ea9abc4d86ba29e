#include <cmath>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/retrieval/judgements.hpp"
#include "retriever_data.hpp"

namespace {

const std::string finetune = GRAFT_BIN "/retriever_finetune rerank";

/// The first layer of the model, as an encoder of its own.
void write_shallow_model(const std::filesystem::path& directory) {
  const graft::ModelDir whole(model);
  graft::Json config = whole.config();
  config["num_hidden_layers"] = 1;
  std::vector<graft::TensorInfo> tensors;
  for (const graft::TensorInfo& tensor : whole.tensors())
    if (tensor.name.find("encoder.layer.") == std::string::npos || tensor.name.find("layer.0.") != std::string::npos)
      tensors.push_back(tensor);
  std::vector<std::byte> bytes;
  const auto bytes_of = [&](std::size_t i) -> std::span<const std::byte> {
    bytes.resize(tensors[i].bytes());
    whole.read(tensors[i], bytes);
    return bytes;
  };
  graft::write_model_dir(directory, config, tensors, bytes_of, {.files = graft::tokenizer_files(model)});
}

/// Of the documents of the house every fourth is asked for.
class Rerank : public RetrieverFinetune {
 protected:
  void SetUp() override {
    RetrieverFinetune::SetUp();
    std::string queries;
    int place = 0;
    for (const graft::JudgedQuery& query : graft::read_judged_queries(directory_ / "queries.jsonl"))
      if (place++ % 4 == 0) queries += graft::Json({{"id", query.id}, {"text", query.text}}).dump() + "\n";
    write("queries.jsonl", queries);
  }

  ProgramResult train(const std::string& arguments) const {
    return run_program(finetune + " --store " + path("my.db") + " --threads 2 " + arguments);
  }
};

TEST_F(Rerank, LearnsToPutTheHitsInOrderAndRagAsksIt) {
  ASSERT_EQ(index(path("all")).exit_code, 0);
  const std::string settings = " --pairs " + path("pairs.jsonl") + " --out " + path("reranker") + " --held-out 0.1 ";
  const std::string first = "--model " + model + settings +
                            "--depth 80 --epochs 8 --negatives 7 --most-share 2 --lr 5e-4 --max-tokens 40 --calibrate ";
  const ProgramResult result = train(first + "--json 2>/dev/null");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const graft::Json report = graft::parse_json(result.output, "report");
  EXPECT_EQ(report["new_head"], true);
  EXPECT_EQ(report["questions"], 72);
  EXPECT_EQ(report["held_out"], 8);
  EXPECT_EQ(report["pairs"], 72 * 8);
  EXPECT_EQ(report["negatives"]["found"], 72 * 7);
  EXPECT_EQ(report["negatives"]["examples"].size(), 5u);
  ASSERT_EQ(report["quality"].size(), 3u) << "the search, reranked, joined";
  const auto ndcg = [&](int i) { return report["quality"][i]["ndcg_at_10"].get<double>(); };
  EXPECT_LT(ndcg(0), 0.3) << "these questions are not found as they are";
  EXPECT_LT(report["train_loss"], 1.5) << "of eight passages one is right: as good as none is log 8";
  EXPECT_EQ(report["held_out_ndcg_at_10"].size(), 8u);
  double best = 0;
  for (const double epoch : report["held_out_ndcg_at_10"]) best = std::max(best, epoch);
  EXPECT_NEAR(ndcg(2), best, 1e-12) << "the best epoch is kept";
  EXPECT_GE(ndcg(2), ndcg(1)) << "joined it is never worse than alone";
  EXPECT_LT(report["calibration"]["log_loss"], report["calibration"]["log_loss_before"]);

  const auto limit_of = [&](const std::string& name) {
    return graft::read_json(directory_ / name / "tokenizer_config.json")["model_max_length"];
  };
  EXPECT_EQ(limit_of("reranker"), 40);
  const graft::Json own = graft::read_json(directory_ / "reranker/config.json")["graft"];
  EXPECT_GT(own["rescaled"]["slope"], 0);
  EXPECT_EQ(own.value("rerank_weights", graft::Json({{"reranker", 1}, {"vector", 0}, {"word", 0}})),
            report["rerank_weights"]);

  const ProgramResult kept = train(first);
  EXPECT_NE(kept.exit_code, 0);
  EXPECT_TRUE(says(kept, "reranker")) << kept.output;

  const std::string reranker = " --rerank " + path("reranker");
  const graft::Json hits = search("'badger velvet' --mode dense --top 3 --rerank-depth 80" + reranker);
  ASSERT_EQ(hits.size(), 3u);
  EXPECT_GE(hits[0]["score"], hits[1]["score"]);
  double sum = 0;  // the reranker's scores are chances: of 80 passages one answers
  const std::string alone = " --rerank-weight 1 --rerank-vector-weight 0 --rerank-word-weight 0 ";
  for (const graft::Json& hit : search("'badger velvet' --mode dense --top 80 --rerank-depth 80" + alone + reranker))
    sum += hit["score"].get<double>();
  EXPECT_GT(sum, 0.1);
  EXPECT_LT(sum, 8);
  EXPECT_TRUE(search("'badger velvet' --least-score 1.01" + reranker).empty());
  EXPECT_EQ(search("'badger velvet' --top 9 --mode dense --rerank-depth 4" + reranker).size(), 4u);

  const graft::Json joined =
      search("'badger velvet' --mode dense --top 5 --rerank-weight 2 --rerank-vector-weight 3" + reranker);
  for (const graft::Json& hit : joined)
    EXPECT_NEAR(hit["score"].get<double>(), 2 * hit["rerank_score"].get<double>() + 3 * hit["similarity"].get<double>(),
                1e-9);

  for (const auto& [option, part] :
       {std::pair{"--rerank-vector-weight -2", "a weight of the reranking is -2; choose 0 or"},
        {"--rerank-word-weight inf", "--rerank-word-weight: is inf; give a number"},
        {"--rerank-weight 0 --rerank-vector-weight 0 --rerank-word-weight 0", "all weights of the reranking are 0"}}) {
    const ProgramResult refused = run("search chess --store " + path("my.db") + reranker + " " + option);
    EXPECT_NE(refused.exit_code, 0) << option;
    EXPECT_TRUE(says(refused, part)) << refused.output;
  }

  const ProgramResult eval =
      run("eval --json --mode dense --store " + path("my.db") + " --queries " + path("queries.jsonl") + " --relevant " +
          path("qrels.tsv") + reranker + " --rerank-depth 80 2>/dev/null");
  ASSERT_EQ(eval.exit_code, 0) << eval.output;
  const graft::Json rows = graft::parse_json(eval.output, "eval");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["reranked"], false);
  EXPECT_EQ(rows[1]["reranked"], true);
  EXPECT_GT(rows[1]["ndcg"].get<double>(), rows[0]["ndcg"].get<double>() + 0.1) << "most of these were trained on";
  const ProgramResult table = run("eval --mode dense --store " + path("my.db") + " --queries " + path("queries.jsonl") +
                                  " --relevant " + path("qrels.tsv") + reranker);
  EXPECT_TRUE(says(table, "dense, reranked against dense: nDCG +")) << table.output;

  // On from there, by an adapter that is merged into what is saved; the same seed gives the same.
  const std::string second =
      "--model " + path("reranker") + " --pairs " + path("pairs.jsonl") + " --out " + path("again") +
      " --held-out 0.1 --method lora --rank 4 --loss pointwise --epochs 1 --negatives 3 --depth 20 ";
  const ProgramResult lora = train(second + "--json 2>/dev/null");
  ASSERT_EQ(lora.exit_code, 0) << lora.output;
  const graft::Json again = graft::parse_json(lora.output, "report");
  EXPECT_EQ(again["new_head"], false);
  ASSERT_EQ(again["quality"].size(), 5u) << "the search, and alone and joined before and after training";
  EXPECT_LT(again["trained_parameters"], 1'000'000);
  EXPECT_EQ(limit_of("again"), 40);
  const ProgramResult plain = train(second + "--overwrite");
  ASSERT_EQ(plain.exit_code, 0) << plain.output;
  for (const char* part : {"wrong passages for 72 questions", "    wrong: This package holds a small",
                           "reranked, before training", "joined with the search, after training against the search",
                           "read back, it gives the same scores to 64 passages"})
    EXPECT_TRUE(says(plain, part)) << part << "\n" << plain.output;

  // Nothing is trained: the weights alone are learned, of this search.
  const ProgramResult weights = train("--model " + path("reranker") + " --pairs " + path("pairs.jsonl") + " --out " +
                                      path("same") + " --held-out 0.1 --epochs 0 --mode dense --json 2>/dev/null");
  ASSERT_EQ(weights.exit_code, 0) << weights.output;
  const graft::Json learned = graft::parse_json(weights.output, "report");
  EXPECT_EQ(learned["questions"], 0);
  EXPECT_EQ(learned["quality"].size(), 3u);
  EXPECT_EQ(learned["rerank_weights"]["word"], 0) << "no search by word";
  EXPECT_EQ(graft::read_file(directory_ / "same/model.safetensors", 1 << 28),
            graft::read_file(directory_ / "reranker/model.safetensors", 1 << 28));
}

TEST_F(Rerank, BadInputIsNamedAndNothingIsWritten) {
  ASSERT_EQ(index(path("all")).exit_code, 0);
  write("bad.jsonl", "{\"query\": \"q\"}\n");
  write("own.jsonl", "{\"query\": \"q\", \"positive\": \"p\", \"negative\": \"P\"}\n");
  write("one.jsonl", "{\"query\": \"q\", \"positive\": \"This package holds a small game written for chess.\"}\n");
  write_shallow_model(directory_ / "shallow");
  const auto copy = [&](const std::string& name, const graft::Json& members) {
    std::filesystem::copy(directory_ / "shallow", directory_ / name);
    graft::Json config = graft::read_json(directory_ / name / "config.json");
    for (const auto& [key, value] : members.items()) config[key] = value;
    graft::write_file(directory_ / name / "config.json", config.dump());
  };
  copy("three",
       {{"architectures", {"BertForSequenceClassification"}}, {"id2label", {{"0", "a"}, {"1", "b"}, {"2", "c"}}}});
  copy("headless", {{"architectures", {"BertForSequenceClassification"}}, {"id2label", {{"0", "score"}}}});
  copy("identity", {{"sentence_transformers", {{"activation_fn", "torch.nn.modules.linear.Identity"}}}});
  copy("unknown", {{"sentence_transformers", {{"activation_fn", "os.system"}}}});
  std::filesystem::copy(model, directory_ / "other", std::filesystem::copy_options::recursive);
  write("other/config_sentence_transformers.json", "{\"prompts\": {\"document\": \"text: \"}}");
  const std::string start = "--model " + path("shallow") + " ", pairs = "--pairs " + path("pairs.jsonl") + " ";
  const struct {
    std::string arguments, says;
  } rows[] = {
      {start, "--pairs, or --queries and --relevant"},
      {pairs, "--model is required"},
      {"--model " + path("nowhere") + " " + pairs, "nowhere"},
      {"--model " + path("three") + " " + pairs,
       "three/config.json: \"id2label\" names 3 outputs, but a cross-encoder has one, the score"},
      {"--model " + path("headless") + " " + pairs, "has no \"classifier.weight\", which a cross-encoder needs"},
      {"--model " + path("unknown") + " " + pairs, "\"activation_fn\" is \"os.system\", but must be one of"},
      {"--model " + path("identity") + " --calibrate " + pairs,
       "--calibrate makes chances of the logistic function's scores"},
      {start + "--pairs " + path("bad.jsonl"), "bad.jsonl, line 1: has no text that answers the question"},
      {start + "--pairs " + path("own.jsonl"), "the negative \"P\" is one of the positives too"},
      {start + "--pairs " + path("one.jsonl"), "no question is held out"},
      {start + pairs + "--max-tokens 600", "max_tokens is 600; this encoder takes 512"},
      {start + pairs + "--lr 0", "give a number above 0"},
      {start + pairs + "--epochs 0", "--epochs 0 trains nothing, but"},
      {start + pairs + "--epochs -1", "--epochs"},
      {start + pairs + "--negatives 0", "--negatives"},
      {start + pairs + "--method ia3", "--method"},
      {start + pairs + "--method lora --rank 0", "rank is 0"},
      {start + pairs + "--encoder " + path("other"), "has no vectors of model"},
      {start + pairs + "--store " + path("nowhere.db"), "there is no store"},
      {start + pairs + "--out " + path("notes"), "notes"},
      {start + pairs + "--overwrite --out " + path("notes"), "notes"},
      {start + pairs + "--overwrite --out " + path("pairs.jsonl"), "pairs.jsonl"},
  };
  for (const auto& row : rows) {
    const std::string store = row.arguments.find("--store") == std::string::npos ? " --store " + path("my.db") : "";
    const std::string out = row.arguments.find("--out ") == std::string::npos ? " --out " + path("out") : "";
    const ProgramResult result = run_program(finetune + " " + row.arguments + store + out);
    EXPECT_NE(result.exit_code, 0) << row.arguments;
    EXPECT_TRUE(says(result, row.says)) << row.arguments << "\n" << result.output;
    EXPECT_FALSE(says(result, "terminate called")) << row.arguments;
    EXPECT_FALSE(says(result, "epoch 1")) << row.arguments << "\n" << result.output;
    EXPECT_FALSE(std::filesystem::exists(directory_ / "out")) << row.arguments;
    EXPECT_TRUE(std::filesystem::exists(directory_ / "notes/images.txt"));
  }
  const std::pair<std::string, std::string> rerankers[] = {
      {model, "an encoder without a head that gives scores"},
      {path("three"), "names 3 outputs"},
      {path("nowhere"), "nowhere"},
      {path("unknown"), "\"activation_fn\" is \"os.system\""},
  };
  for (const auto& [directory, part] : rerankers) {
    const ProgramResult result = run("search chess --store " + path("my.db") + " --rerank " + directory);
    EXPECT_NE(result.exit_code, 0) << directory;
    EXPECT_TRUE(says(result, part)) << directory << "\n" << result.output;
  }
  for (const std::string option : {"--rerank-depth 5", "--rerank-weight 1", "--rerank-vector-weight 1"})
    EXPECT_NE(run("search chess " + option + " --store " + path("my.db")).exit_code, 0) << option;
  const ProgramResult alone = run("search chess --rerank-depth 5 --store " + path("my.db"));
  EXPECT_TRUE(says(alone, "--rerank")) << alone.output;
  EXPECT_NE(alone.exit_code, 0);
}

/// A store without vectors has words to search by, and needs --mode bm25.
TEST_F(Rerank, AStoreWithoutVectorsIsSearchedByWordOrRefused) {
  {
    graft::SqliteStore store(directory_ / "words.db");
    const auto writer = store.write();
    for (const std::string thing : {"music", "mail", "chess", "maps", "news", "fonts"})
      for (const std::string kind : {"game", "viewer"}) {
        const std::string text = "a small " + kind + " for " + thing;
        writer->put({.uri = text, .text = text}, std::vector<graft::PassageRange>{{.begin = 0, .end = text.size()}});
      }
    writer->commit();
  }
  std::string pairs;
  for (const std::string thing : {"music", "mail", "chess", "maps", "news", "fonts"})
    pairs += graft::Json({{"query", "the game of " + thing}, {"positive", "a small game for " + thing}}).dump() + "\n";
  write("words.jsonl", pairs);
  write_shallow_model(directory_ / "shallow");
  const std::string arguments = " --model " + path("shallow") + " --pairs " + path("words.jsonl") + " --store " +
                                path("words.db") + " --held-out 0.4 --out " + path("out") + " --threads 2 --epochs 1 ";
  const ProgramResult refused = run_program(finetune + arguments + "--encoder " + model);
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_TRUE(says(refused, "has no vectors of model")) << refused.output;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "out"));
  const ProgramResult unknown = run_program(finetune + arguments);
  EXPECT_TRUE(says(unknown, "no model is known for the store")) << unknown.output;
  const ProgramResult by_word = run_program(finetune + arguments + "--mode bm25");
  EXPECT_EQ(by_word.exit_code, 0) << by_word.output;
  // A search by word finds all of these as it is.
  EXPECT_TRUE(says(by_word, "no better than the search does; nothing was written")) << by_word.output;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "out"));
}

}  // namespace
