#include <cmath>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/retrieval/query_encoders.hpp"
#include "graft/retrieval/query_map.hpp"
#include "retriever_data.hpp"

namespace {

TEST_F(RetrieverFinetune, LearnsFromPairsAndTheStoreKnowsIt) {
  ASSERT_EQ(index(path("all")).exit_code, 0);
  const std::string settings = "--pairs " + path("pairs.jsonl") + " --held-out 0.3 --epochs 20 --lr 0.003 ";
  const ProgramResult result = train(settings + "--json 2>/dev/null");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const graft::Json report = graft::parse_json(result.output, "report");
  EXPECT_EQ(report["questions"], 56);
  EXPECT_EQ(report["held_out"], 24);
  EXPECT_EQ(report["stored_vectors"], 80);
  EXPECT_EQ(report["trained_parameters"], 384 * 384);
  ASSERT_EQ(report["quality"].size(), 7u);
  const auto ndcg = [&](int i) { return report["quality"][i]["ndcg_at_10"].get<double>(); };
  EXPECT_GE(ndcg(2), ndcg(1)) << "by vector, with the map and without";
  EXPECT_GE(ndcg(6), std::max(ndcg(0), ndcg(2)) - 1e-12) << "joined by learned weights, and its parts";
  EXPECT_GE(ndcg(5), std::max(ndcg(0), ndcg(1)) - 1e-12);
  ASSERT_EQ(report["written"], path("map.safetensors")) << "these questions are not found as they are";
  EXPECT_LT(report["saved_bytes"], 700'000);
  EXPECT_EQ(report["by_vector"]["wins"].get<int>() + report["by_vector"]["losses"].get<int>() +
                report["by_vector"]["ties"].get<int>(),
            24);

  const graft::QueryMap map = graft::QueryMap::load(directory_ / "map.safetensors");
  EXPECT_EQ(map.fingerprint(), report["fingerprint"]);
  EXPECT_EQ(map.space(), space());
  EXPECT_EQ(map.training().at("questions"), "56");
  {
    graft::SqliteStore store(directory_ / "my.db");
    const auto encoders = graft::query_encoders(*store.read(), space());
    ASSERT_EQ(encoders.size(), 2u);
    EXPECT_EQ(encoders[1].fingerprint, map.fingerprint());
    EXPECT_EQ(encoders[1].join->vector, report["join"]["with"]["vector"]);
  }
  const ProgramResult kept = train(settings);
  EXPECT_NE(kept.exit_code, 0);
  EXPECT_TRUE(says(kept, "is there already; give another --out, or --overwrite")) << kept.output;
  const ProgramResult again = train(settings + "--overwrite --json 2>/dev/null");
  EXPECT_EQ(graft::parse_json(again.output, "report")["fingerprint"], report["fingerprint"]) << "the same by its seed";

  const std::string adapter = " --query-adapter " + path("map.safetensors");
  EXPECT_EQ(search("'chess game' --mode dense --top 3" + adapter).size(), 3u);
  EXPECT_EQ(search("'chess game' --top 1 --vector-weight 0 --word-weight 2 --rank-constant 1" + adapter)[0]["score"],
            1.0);
  const ProgramResult eval = run("eval --json --store " + path("my.db") + " --queries " + path("queries.jsonl") +
                                 " --relevant " + path("qrels.tsv") + adapter);
  ASSERT_EQ(eval.exit_code, 0) << eval.output;
  const graft::Json rows = graft::parse_json(eval.output, "eval");
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[3]["mode"], "dense");
  EXPECT_EQ(rows[3]["adapted"], true);
  EXPECT_GT(rows[3]["ndcg"], rows[1]["ndcg"]) << "most of these were trained on";

  // Another store of the same model must be told first.
  ASSERT_EQ(run("index --store " + path("other.db") + " --model " + model + " " + path("notes")).exit_code, 0);
  const std::string other = "search pictures --store " + path("other.db") + adapter;
  const ProgramResult refused = run(other);
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_TRUE(says(refused, "it was trained with another store")) << refused.output;
  EXPECT_TRUE(says(refused, "let it be used here with: rag allow")) << refused.output;
  const ProgramResult allowed =
      run_program(program + " allow " + path("map.safetensors") + " --store " + path("other.db"));
  EXPECT_EQ(allowed.exit_code, 0) << allowed.output;
  EXPECT_EQ(run(other).exit_code, 0);

  const ProgramResult plain = train("--pairs " + path("pairs.jsonl") + " --held-out 0.3 --epochs 2 --overwrite");
  EXPECT_EQ(plain.exit_code, 0) << plain.output;
  for (const char* part :
       {"56 questions trained on, 24 held out", "epoch 1: loss ", "by vector, with the map", "better in "})
    EXPECT_TRUE(says(plain, part)) << part << "\n" << plain.output;
}

TEST_F(RetrieverFinetune, LearnsFromJudgementsAndNamesWhatLeaks) {
  ASSERT_EQ(index(path("all")).exit_code, 0);
  const ProgramResult judged = train("--queries " + path("queries.jsonl") + " --relevant " + path("qrels.tsv") +
                                     " --epochs 2 --json 2>/dev/null");
  ASSERT_EQ(judged.exit_code, 0) << judged.output;
  EXPECT_EQ(graft::parse_json(judged.output, "report")["held_out"], 8);
  write("held.jsonl",
        "{\"query\": \"BADGER   velvet\", \"positive\": \"This package holds a small game written for chess.\"}\n"
        "{\"query\": \"some melodies\", \"positive\": \"This package holds a small player written for music.\"}\n"
        "{\"query\": \"nothing\", \"positive\": \"No such text.\"}\n");
  const ProgramResult leaks =
      train("--pairs " + path("pairs.jsonl") + " --held-out-pairs " + path("held.jsonl") + " --epochs 1 --overwrite");
  EXPECT_EQ(leaks.exit_code, 0) << leaks.output;
  for (const std::string& part :
       {std::string("2 rows share a question or an answer with the held-out ones, and are not trained on"),
        "pairs.jsonl, line 14 and " + path("held.jsonl") + ", line 1: the question \"badger velvet\"",
        std::string("held.jsonl, line 3: the store does not have the answer \"No such text.\""),
        std::string("1 questions have no answer in the store"), std::string("78 questions trained on, 2 held out")})
    EXPECT_TRUE(says(leaks, part)) << part << "\n" << leaks.output;
}

TEST_F(RetrieverFinetune, BadInputIsNamedAndNothingIsWritten) {
  ASSERT_EQ(index(path("all")).exit_code, 0);
  write("bad.jsonl", "{\"query\": \"q\"}\n");
  write("unknown.jsonl", "{\"query\": \"q\", \"positive\": \"nobody has this\"}\n");
  write("one.jsonl", "{\"query\": \"q\", \"positive\": \"This package holds a small game written for chess.\"}\n");
  write("own.jsonl", "{\"query\": \"q\", \"positive\": \"p\", \"negative\": \"P\"}\n");
  write("other.tsv", "x\ty\t1\n");
  std::filesystem::copy(model, directory_ / "other", std::filesystem::copy_options::recursive);
  write("other/config_sentence_transformers.json", "{\"prompts\": {\"document\": \"text: \"}}");
  const std::string pairs = "--pairs " + path("pairs.jsonl") + " ";
  const struct {
    std::string arguments, says;
  } rows[] = {
      {"", "--pairs, or --queries and --relevant"},
      {"--pairs " + path("nowhere.jsonl"), "nowhere.jsonl"},
      {"--pairs " + path("bad.jsonl"), "bad.jsonl, line 1: has no text that answers the question"},
      {"--pairs " + path("own.jsonl"), "the negative \"P\" is one of the positives too"},
      {"--pairs " + path("unknown.jsonl"), "there is no question to train on: 1 have no answer in the store"},
      {"--pairs " + path("one.jsonl"), "no question is held out"},
      {pairs + "--held-out 1", "the share of held-out questions is 1"},
      {pairs + "--held-out 0", "no question is held out"},
      {pairs + "--held-out-pairs " + path("pairs.jsonl"),
       "there is no question to train on: 0 have no answer in the "
       "store and 80 are held out as well"},
      {pairs + "--lr 0", "lr is 0 in the training of a map"},
      {pairs + "--epochs 0", "epochs is 0"},
      {pairs + "--scale -1", "--scale: is -1; give a number above 0"},
      {pairs + "--model " + path("other"), "has no vectors of the model in"},
      {pairs + "--queries " + path("queries.jsonl"), "--pairs"},
      {"--queries " + path("queries.jsonl"), "--relevant"},
      {"--queries " + path("queries.jsonl") + " --relevant " + path("other.tsv"), "do their names match?"},
      {pairs + "--out " + path("notes"), "is a directory; name a file"},
      {pairs + "--overwrite --out " + path("qrels.tsv"), "is no map of questions and is not replaced"},
      {pairs + "--store " + path("nowhere.db"), "there is no store"},
      {pairs + "--blend 0", "--blend: is 0; give a number above 0, at most 1"},
      {pairs + "--method full", "--method full changes both sides; choose map or lora, or --side both"},
      {pairs + "--side both --method full --model " + model, "--store has vectors that both sides would leave behind"},
      {pairs + "--method lora --rank 400", "rank is 400"},
      {pairs + "--method lora --out " + path("notes"), "is there already and not empty"},
  };
  for (const auto& row : rows) {
    const std::string store = row.arguments.find("--store") == std::string::npos ? " --store " + path("my.db") : "";
    const std::string out = row.arguments.find("--out ") == std::string::npos ? " --out " + path("map") : "";
    const ProgramResult result = run_program(retriever_program + " " + row.arguments + store + out);
    EXPECT_NE(result.exit_code, 0) << row.arguments;
    EXPECT_TRUE(says(result, row.says)) << row.arguments << "\n" << result.output;
    EXPECT_FALSE(says(result, "terminate called")) << row.arguments;
    EXPECT_FALSE(std::filesystem::exists(directory_ / "map")) << row.arguments;
  }
  // A map of another model, and a file that is none.
  graft::QueryMap({"another", 384, graft::Metric::cosine}).save(directory_ / "another.safetensors");
  const std::pair<std::string, std::string> adapters[] = {
      {path("another.safetensors"), "maps questions for vectors of model \"another\", which the store"},
      {model + "/model.safetensors", "is no map of questions"},
      {path("nowhere.safetensors"), "nowhere.safetensors"},
  };
  for (const auto& [file, part] : adapters) {
    for (const std::string& command : {"search chess --store " + path("my.db") + " --query-adapter " + file,
                                       "allow " + file + " --store " + path("my.db")}) {
      const ProgramResult result = run_program(program + " " + command);
      EXPECT_NE(result.exit_code, 0) << command;
      EXPECT_TRUE(says(result, part)) << command << "\n" << result.output;
    }
  }
}

}  // namespace
