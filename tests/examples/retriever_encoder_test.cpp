#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/retrieval/query_encoders.hpp"
#include "retriever_data.hpp"

namespace {

using RetrieverEncoder = RetrieverFinetune;

TEST_F(RetrieverEncoder, LearnsAnAdapterOfQuestionsAndLeavesWhatIsStored) {
  ASSERT_EQ(index(path("all")).exit_code, 0);
  const auto stored = [&] {
    const auto snapshot = graft::SqliteStore(directory_ / "my.db", {.create = false}).read();
    return snapshot->vectors(space(), snapshot->vector_ids(space()));
  };
  const std::vector<float> before = stored();
  const std::string settings =
      "--method lora --pairs " + path("pairs.jsonl") + " --held-out 0.3 --epochs 4 --lr 0.003 --rank 4 --batch 16 ";
  const ProgramResult result = train(settings + "--json 2>/dev/null", "adapter");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const graft::Json report = graft::parse_json(result.output, "report");
  ASSERT_EQ(report["written"], path("adapter")) << result.output;
  EXPECT_EQ(report["trained_parameters"], 6 * 4 * (4 * 2 * 384 + 2 * (384 + 1536)));
  const auto ndcg = [&](int i) { return report["quality"][i]["ndcg_at_10"].get<double>(); };
  EXPECT_GT(ndcg(2), ndcg(1)) << "by vector, with the adapter and without";
  EXPECT_EQ(stored(), before);
  {
    graft::SqliteStore store(directory_ / "my.db");
    const auto encoders = graft::query_encoders(*store.read(), space());
    ASSERT_EQ(encoders.size(), 2u);
    EXPECT_EQ(encoders[1].fingerprint, report["fingerprint"]);
    EXPECT_TRUE(encoders[1].fingerprint.starts_with(space().model + "+"));
  }
  const std::string adapter = " --query-adapter " + path("adapter");
  const ProgramResult eval = run("eval --json --mode dense --store " + path("my.db") + " --queries " +
                                 path("queries.jsonl") + " --relevant " + path("qrels.tsv") + adapter);
  ASSERT_EQ(eval.exit_code, 0) << eval.output;
  const graft::Json rows = graft::parse_json(eval.output, "eval");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_GT(rows[1]["ndcg"], rows[0]["ndcg"]) << "most of these were trained on";

  ASSERT_EQ(run("index --store " + path("other.db") + " --model " + model + " " + path("notes")).exit_code, 0);
  const std::string other = "search pictures --store " + path("other.db") + adapter;
  EXPECT_TRUE(says(run(other), "it was trained with another store"));
  EXPECT_EQ(run_program(program + " allow " + path("adapter") + " --store " + path("other.db")).exit_code, 0);
  EXPECT_EQ(run(other).exit_code, 0);

  const ProgramResult kept = train(settings, "adapter");
  EXPECT_NE(kept.exit_code, 0);
  EXPECT_TRUE(says(kept, "adapter")) << kept.output;
  const ProgramResult again = train(settings + "--overwrite --blend 0.5", "adapter");
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_TRUE(says(again, "blend 0.5")) << again.output;
}

TEST_F(RetrieverEncoder, LearnsBothSidesAndWritesAModelThatIndexes) {
  const std::string settings = " --side both --model " + model + " --pairs " + path("pairs.jsonl") +
                               " --held-out 0.3 --epochs 3 --batch 16 --threads 2 --json --out ";
  const auto report = [&](const std::string& more) {
    const ProgramResult result = run_program(retriever_program + settings + more + " 2>/dev/null");
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.exit_code == 0 ? graft::parse_json(result.output, "report") : graft::Json();
  };
  const graft::Json full = report(path("full") + " --method full --lr 1e-4");
  EXPECT_EQ(full["trained_parameters"], 22'565'376) << "all of MiniLM but its pooler";
  EXPECT_GT(full["quality"][1]["ndcg_at_10"], full["quality"][0]["ndcg_at_10"]);
  const graft::Json parts = report(path("parts") + " --method full --lr 1e-4 --part 5");
  // Dropout is drawn part by part, so that the two runs are not the same to the bit.
  EXPECT_NEAR(parts["quality"][1]["ndcg_at_10"], full["quality"][1]["ndcg_at_10"], 0.15);

  const ProgramResult indexed =
      run("index --store " + path("full.db") + " --model " + path("full") + " " + path("all"));
  ASSERT_EQ(indexed.exit_code, 0) << indexed.output;
  const ProgramResult eval = run("eval --json --mode dense --store " + path("full.db") + " --queries " +
                                 path("queries.jsonl") + " --relevant " + path("qrels.tsv"));
  ASSERT_EQ(eval.exit_code, 0) << eval.output;
  EXPECT_GT(graft::parse_json(eval.output, "eval")[0]["ndcg"], full["quality"][0]["ndcg_at_10"]);

  const graft::Json merged = report(path("merged") + " --method lora --lr 3e-3 --rank 4 --merge");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "merged" / "modules.json"));
  const graft::Json adapter = report(path("adapter") + " --method lora --lr 3e-3 --rank 4");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "adapter" / "adapter_config.json"));
  EXPECT_EQ(merged["quality"], adapter["quality"]) << "the same by their seed";
  const ProgramResult kept = run_program(retriever_program + settings + path("full") + " --method lora");
  EXPECT_NE(kept.exit_code, 0);
}

}  // namespace
