#include "graft/retrieval/retriever.hpp"

#include <algorithm>
#include <thread>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/retrieval/ingest.hpp"
#include "graft/retrieval/metrics.hpp"
#include "graft/retrieval/query_encoders.hpp"
#include "graft/retrieval/query_map.hpp"
#include "graft/retrieval/query_map_training.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/support.hpp"
#include "support/python.hpp"

namespace graft::retriever_test {
namespace {

using test::expect_error;

const VectorSpace kSpace{"m", 2, Metric::cosine};

struct RetrieverTest : testing::Test {
  TemporaryDirectory directory;
  SqliteStore store{directory / "store.db"};

  /// A document cut at spaces into one-word passages, each with the vector at `degrees`.
  std::vector<PassageId> add(const std::string& uri, const std::string& text, const std::vector<double>& degrees,
                             const Json& metadata = Json::object()) {
    std::vector<PassageRange> ranges;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(' ', begin), text.size());
      ranges.push_back({begin, end});
      begin = end + 1;
    }
    std::vector<float> vectors;
    for (const double angle : degrees) {
      vectors.push_back(static_cast<float>(std::cos(angle * M_PI / 180)));
      vectors.push_back(static_cast<float>(std::sin(angle * M_PI / 180)));
    }
    auto writer = store.write();
    writer->add_space(kSpace);
    const auto ids = writer->put({.uri = uri, .text = text, .metadata = metadata}, ranges);
    writer->put_vectors(kSpace, ids, vectors);
    writer->commit();
    return ids;
  }
};

std::vector<std::string> texts(const std::vector<Hit>& hits) {
  std::vector<std::string> out;
  for (const Hit& hit : hits) out.push_back(hit.passage.text);
  return out;
}

using Texts = std::vector<std::string>;

TEST_F(RetrieverTest, SearchesVectorsWordsOrBoth) {
  add("a", "apple banana cherry", {0, 10, 20});
  add("b", "banana split", {30, 90});
  Retriever retriever(store, {.space = kSpace});
  const auto near = retriever.search({.vector = {1, 0}, .top = 2});
  EXPECT_EQ(texts(near), (Texts{"apple", "banana"}));
  EXPECT_NEAR(near[1].score, std::cos(10 * M_PI / 180), 1e-6);
  EXPECT_EQ(near[1].similarity, near[1].score);
  EXPECT_FALSE(near[1].word_score);
  EXPECT_EQ(near[0].document.uri, "a");

  const auto words = retriever.search({.text = "banana?"});
  EXPECT_EQ(texts(words), (Texts{"banana", "banana"}));
  EXPECT_FALSE(words[0].similarity);

  const auto both = retriever.search({.text = "split", .vector = {1, 0}});
  ASSERT_EQ(both.size(), 5u);
  EXPECT_EQ(both[0].passage.text, "split");  // fifth by vector, first by word
  EXPECT_DOUBLE_EQ(both[0].score, 1.0 / 65 + 1.0 / 61);
  EXPECT_DOUBLE_EQ(both[1].score, 1.0 / 61);
  EXPECT_EQ(retriever.search({.text = "split", .vector = {1, 0}, .word_weight = 0})[0].passage.text, "apple");
}

TEST_F(RetrieverTest, TakesVectorsOfQuestionsOnlyFromEncodersThatTheStoreKnows) {
  add("a", "apple banana cherry", {0, 10, 20});
  Retriever retriever(store, {.space = kSpace});
  const auto ask = [&](const std::string& encoder) {
    return texts(retriever.search({.vector = {1, 0}, .encoder = encoder, .top = 1}));
  };
  EXPECT_EQ(ask(""), Texts{"apple"});
  EXPECT_EQ(ask("m"), Texts{"apple"}) << "the model of the space itself";
  expect_error<OptionError>([&] { ask("map-1"); },
                            "does not know \"map-1\" as an encoder of questions for vectors of model \"m\", but none; "
                            "train one on this store, or let this one be used with put_query_encoder()");
  auto writer = store.write();
  put_query_encoder(*writer, kSpace, {"map-1", JoinWeights{2, 1, 10}});
  put_query_encoder(*writer, kSpace, {"", JoinWeights{1, 2, 60}});
  writer->commit();
  EXPECT_EQ(ask("map-1"), Texts{"apple"});
  expect_error<OptionError>([&] { ask("map-2"); }, "does not know \"map-2\"");
  expect_error<OptionError>([&] { ask("map-2"); }, ", but \"map-1\"; train");
  expect_error<OptionError>([&] { retriever.search({.text = "apple", .encoder = "map-1"}); },
                            "encoder is set in a query without a vector");
}

TEST_F(RetrieverTest, ALearnedMapIsShortToUse) {
  std::vector<float> questions, answers;
  std::vector<graft::AnsweredQuestion> training, held_out;
  for (std::size_t i = 0; i < 60; ++i) {  // a question lies 50 degrees beside its document
    const double angle = static_cast<double>(i) * 3 * M_PI / 180, turn = 50 * M_PI / 180;
    add(message("d", i), message("t", i), {static_cast<double>(i) * 3});
    for (auto [vectors, of] : {std::pair{&answers, angle}, {&questions, angle + turn}})
      vectors->insert(vectors->end(), {static_cast<float>(std::cos(of)), static_cast<float>(std::sin(of))});
    (i % 4 == 0 ? held_out : training).push_back({i, i});
  }
  const graft::VectorSpace space = kSpace;
  const std::filesystem::path file = directory / "map.safetensors";
  const graft::QueryMapOptions options{.lr = 0.02, .epochs = 100, .patience = 100};
  {
    const graft::QueryMapResult learned = graft::train_query_map(
        {.space = space, .questions = questions, .answers = answers, .training = training, .held_out = held_out},
        options);
    learned.map.save(file);
    const auto writer = store.write();
    graft::put_query_encoder(*writer, space, {learned.map.fingerprint()});
    writer->commit();
    EXPECT_LT(learned.before, 0.1);
    EXPECT_GT(learned.after, 0.9);
  }
  const std::vector<float> question = {questions[40], questions[41]};
  graft::Retriever retriever(store, {.space = space});
  const graft::QueryMap map = graft::QueryMap::load(file);
  const auto hits = retriever.search({.vector = map.apply(question), .encoder = map.fingerprint()});
  const auto near = {hits[0].document.uri, hits[1].document.uri};
  EXPECT_NE(std::find(near.begin(), near.end(), "d20"), near.end()) << hits[0].document.uri;
}

TEST_F(RetrieverTest, TheRankConstantSaysHowMuchTheFirstPlacesCount) {
  add("a", "x y apple z", {0, 10, 20, 90});
  Retriever retriever(store, {.space = kSpace});
  Query query{.text = "apple", .vector = {1, 0}};
  query.vector_weight = 3;
  query.rank_constant = 0;
  const auto sharp = retriever.search(query);
  EXPECT_EQ(sharp[0].passage.text, "x");
  EXPECT_DOUBLE_EQ(sharp[0].score, 3.0);
  EXPECT_DOUBLE_EQ(sharp[1].score, 1.0 + 3.0 / 3);
  query.rank_constant = 60;
  EXPECT_EQ(retriever.search(query)[0].passage.text, "apple");
  query.rank_constant = -1;
  expect_error<OptionError>([&] { retriever.search(query); }, "k of reciprocal rank fusion is -1");
}

TEST_F(RetrieverTest, FiltersThresholdsAndLimitsADocument) {
  add("a", "a0 a1 a2", {0, 1, 2}, {{"section", "x"}});
  add("b", "b0 b1", {5, 50}, {{"section", "y"}});
  add("c", "c0", {80}, {{"section", "x"}});
  Retriever retriever(store, {.space = kSpace});
  const auto section = Filter::parse("section = 'x'");
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .filter = section})), (Texts{"a0", "a1", "a2", "c0"}));
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .filter = section, .top = 4, .least_similarity = 0.5})),
            (Texts{"a0", "a1", "a2"}));
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .least_score = 0.6})), (Texts{"a0", "a1", "a2", "b0", "b1"}));
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .top = 4, .per_document = 2})), (Texts{"a0", "a1", "b0", "b1"}));
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .per_document = 1})), (Texts{"a0", "b0", "c0"}));
  EXPECT_TRUE(retriever.search({.vector = {1, 0}, .filter = Filter::equal("section", "z")}).empty());
  EXPECT_TRUE(retriever.search({.vector = {1, 0}, .top = 0}).empty());
}

// The hundred best are cut after each document has its share: what is asked for is found, however many passages of one
// document are better than all others.
TEST_F(RetrieverTest, OneDocumentWithHundredsOfBetterPassagesLeavesRoomForOthers) {
  std::string big;
  std::vector<double> degrees;
  for (int i = 0; i < 900; ++i) big += "apple ", degrees.push_back(i * 0.01);
  big.pop_back();
  add("big", big, degrees);
  for (int i = 0; i < 4; ++i) add(message("small", i), "appleandmore apple", {60.0 + i, 70.0 + i});
  Retriever exact(store, {.space = kSpace}), graph(store, {.space = kSpace, .exact_up_to = 10});
  for (Retriever* retriever : {&exact, &graph})
    for (const Query& mode :
         {Query{.text = "apple"}, Query{.vector = {1, 0}}, Query{.text = "apple", .vector = {1, 0}}})
      for (const std::size_t most : {1, 2}) {
        Query query = mode;
        query.top = 5 * most;
        query.per_document = most;
        std::map<std::string, std::size_t> found;
        const auto hits = retriever->search(query);
        for (const Hit& hit : hits) ++found[hit.document.uri];
        // By word each small document has one passage alone.
        const std::size_t small = query.vector.empty() ? 1 : most;
        EXPECT_EQ(found,
                  (std::map<std::string, std::size_t>{
                      {"big", most}, {"small0", small}, {"small1", small}, {"small2", small}, {"small3", small}}));
        EXPECT_EQ(hits.at(0).document.uri, "big");
      }
}

TEST_F(RetrieverTest, DiversityIsMmrWorkedOutByHand) {
  add("a", "near twin other", {10, 11, -40});
  Retriever retriever(store, {.space = kSpace});
  const auto cosine = [](double degrees) { return std::cos(degrees * M_PI / 180); };
  // near first; then twin: 0.5 cos 11 - 0.5 cos 1 < other: 0.5 cos 40 - 0.5 cos 50
  ASSERT_LT(cosine(11) - cosine(1), cosine(40) - cosine(50));
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .top = 2, .diversity = 0.5})), (Texts{"near", "other"}));
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .top = 2, .diversity = 1.0})), (Texts{"near", "twin"}));
  add("b", "far", {-41});
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}, .diversity = 0.5, .per_document = 1})), (Texts{"near", "far"}));
}

TEST_F(RetrieverTest, ARerankerHasTheLastWord) {
  add("a", "x xx xxx xxxx", {0, 10, 20, 30});
  Retriever retriever(store, {.space = kSpace});
  std::string asked;
  Query query{.text = "q",
              .vector = {1, 0},
              .top = 2,
              .rerank =
                  [&](const std::string& question, std::span<const std::string> passages) {
                    asked = question;
                    std::vector<double> out;
                    for (const std::string& passage : passages) out.push_back(static_cast<double>(passage.size()));
                    return out;
                  },
              .rerank_depth = 3};
  const auto hits = retriever.search(query);
  EXPECT_EQ(asked, "q");
  EXPECT_EQ(texts(hits), (Texts{"xxx", "xx"})) << "the fourth was below rerank_depth";
  EXPECT_EQ(hits[0].score, 3);
  query.least_score = 2.5;
  EXPECT_EQ(texts(retriever.search(query)), (Texts{"xxx"}));

  // Similarities are cos 0, cos 10 and cos 20 degrees; the reranker's scores 1, 2 and 3 are of no account beside them.
  query.rerank_weights = {1, 1000, 0};
  query.least_score = 1.5;
  const auto joined = retriever.search(query);
  EXPECT_EQ(texts(joined), (Texts{"xx", "xxx"})) << "least_score is of the reranker's score, which is 1 for the first";
  EXPECT_DOUBLE_EQ(joined[0].score, 2 + 1000 * *joined[0].similarity);
  EXPECT_EQ(joined[0].rerank_score, 2);
  query.rerank_weights = {1, -1, 0};
  expect_error<OptionError>([&] { retriever.search(query); }, "a weight of the reranking is -1; choose 0 or more");
  query.rerank_weights = {};
  query.rerank = [](const std::string&, std::span<const std::string>) { return std::vector<double>{1}; };
  expect_error<ShapeError>([&] { retriever.search(query); }, "the reranker gave 1 scores for 3 passages");
  query.rerank = [](const std::string&, std::span<const std::string>) { return std::vector<double>{1, NAN, 2}; };
  expect_error<OptionError>([&] { retriever.search(query); }, "the score nan");
}

TEST_F(RetrieverTest, NeighboursComeAsTheyStandInTheDocument) {
  add("a", "one two three four", {0, 90, 180, 270});
  Retriever retriever(store, {.space = kSpace});
  const auto hit = retriever.search({.vector = {0, 1}, .top = 1, .neighbours = 1})[0];
  EXPECT_EQ(hit.passage.text, "two");
  EXPECT_EQ(hit.context, "one two three");
  EXPECT_EQ(hit.context_begin, 0u);
  EXPECT_EQ(hit.context_end, 13u);
  EXPECT_EQ(retriever.search({.vector = {1, 0}, .top = 1, .neighbours = INT64_MAX})[0].context, "one two three four");
  EXPECT_EQ(retriever.search({.vector = {1, 0}, .top = 1})[0].context, "one");
}

TEST_F(RetrieverTest, FollowsTheStore) {
  add("a", "old", {0});
  Retriever retriever(store, {.space = kSpace});
  EXPECT_EQ(retriever.indexed(), 1u);
  add("b", "new", {1});
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}})), (Texts{"old", "new"}));
  add("a", "newer", {2});
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}})), (Texts{"new", "newer"}));
  auto writer = store.write();
  writer->remove("b");
  writer->commit();
  EXPECT_EQ(texts(retriever.search({.vector = {1, 0}})), (Texts{"newer"}));
  EXPECT_EQ(retriever.indexed(), 1u);
}

TEST_F(RetrieverTest, AnswersOfManyThreadsBesideAWriterAreWhole) {
  add("doc", "v0 v0 v0", {0, 1, 2}, {{"version", 0}});
  Retriever retriever(store, {.space = kSpace});
  std::atomic<bool> done = false;
  std::atomic<int> torn = 0, answers = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 4; ++t)
    readers.emplace_back([&] {
      while (!done) {
        const auto hits = retriever.search({.vector = {1, 0}});
        // Every version has three passages of one word: the version's name.
        bool whole = hits.size() == 3;
        for (const Hit& hit : hits)
          whole = whole && hit.passage.text == message("v", hit.document.metadata["version"].get<int>()) &&
                  hit.passage.text == hits[0].passage.text;
        torn += !whole;
        ++answers;
      }
    });
  for (int version = 1; version <= 100; ++version)
    add("doc", message("v", version, " v", version, " v", version), {0, 1, 2}, {{"version", version}});
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
  EXPECT_GT(answers, 4);
}

TEST_F(RetrieverTest, AGraphIsKeptInAFileAndBroughtUpToDate) {
  std::vector<double> angles(50);
  std::string text = "w0";
  for (int i = 1; i < 50; ++i) text += message(" w", i), angles[static_cast<std::size_t>(i)] = i;
  add("a", text, angles);
  const RetrieverOptions options{.space = kSpace, .exact_up_to = 20, .index_file = directory / "index"};
  Retriever exact(store, {.space = kSpace});
  EXPECT_EQ(exact.index_reason(), "exact: 50 vectors are at most the 200000 of exact_up_to");
  exact.save_index();
  {
    Retriever first(store, options);
    EXPECT_NE(first.index_reason().find("graph: 50 vectors are more than the 20 of exact_up_to; built, since"),
              std::string::npos);
    first.save_index();
  }
  add("b", "new", {-1});
  Retriever second(store, options);
  EXPECT_EQ(second.index_reason(), "graph: 51 vectors are more than the 20 of exact_up_to; read from its file");
  EXPECT_EQ(texts(second.search({.vector = {1, -0.01f}, .top = 3})),
            texts(exact.search({.vector = {1, -0.01f}, .top = 3})));
  EXPECT_EQ(second.indexed(), 51u);

  std::filesystem::copy_file(directory / "index", directory / "foreign");
  SqliteStore other(directory / "other.db");
  {
    auto into = other.write();
    into->add_space(kSpace);
    const auto other_ids = into->put({.uri = "x", .text = "y"}, std::vector<PassageRange>{{0, 1}});
    into->put_vectors(kSpace, other_ids, std::vector<float>{1, 0});
    into->commit();
  }
  Retriever foreign(other, {.space = kSpace, .exact_up_to = 0, .index_file = directory / "foreign"});
  EXPECT_EQ(foreign.index_reason(),
            "graph: 1 vectors are more than the 0 of exact_up_to; built, since its file is not of this store");
  EXPECT_EQ(texts(foreign.search({.vector = {1, 0}})), (Texts{"y"}));
  expect_error<OptionError>([&] { Retriever(other, {.space = kSpace, .exact_up_to = 0}).save_index(); },
                            "names no file");
}

TEST_F(RetrieverTest, RefusesQueriesThatCannotBeAnswered) {
  add("a", "x", {0});
  Retriever retriever(store, {.space = kSpace}), words(store);
  const std::pair<Query, const char*> table[] = {
      {{}, "a query has neither text nor vector"},
      {{.vector = {NAN, 1}}, "query 0 of model \"m\" holds a number that is not finite"},
      {{.vector = {0, 0}}, "is zero, which has no cosine"},
      {{.vector = {1, 0}, .diversity = 1.5}, "diversity is 1.5; it needs a vector and a number from 0 to 1"},
      {{.text = "x", .diversity = 0.5}, "diversity is 0.5 in a query without a vector"},
      {{.text = "x", .least_similarity = 0.5}, "least_similarity is set in a query without a vector"},
      {{.text = "x", .neighbours = -1}, "neighbours is -1"},
      {{.text = "x", .vector_weight = -1}, "a weight of the fusion is -1"},
  };
  for (const auto& [query, part] : table)
    expect_error<OptionError>([&, &query = query] { retriever.search(query); }, part);
  expect_error<ShapeError>(
      [&] {
        retriever.search({.vector = {1, 2, 3}});
      },
      "1 query rows of model \"m\" need 1 x 2 numbers, but 3 were given");
  expect_error<OptionError>([&] { words.search({.vector = {1, 0}}); }, "the retriever searches words alone");
  expect_error<OptionError>(
      [&] {
        Retriever(store, {.space = VectorSpace{"n", 2, Metric::cosine}});
      },
      "has no vectors of model \"n\" (2, cosine), but of \"m\" (2, cosine); search with the model");
  EXPECT_EQ(texts(words.search({.text = "x"})), (Texts{"x"}));
}

// Reference: SQLite FTS5 with porter and unicode61 over the same 5,000 package descriptions, the OR of the summary's
// words.
TEST_F(RetrieverTest, WordSearchOfPackageDescriptionsEqualsTheReferenceQuality) {
  run_python("retrieval_descriptions.py", {directory / "descriptions.jsonl"});
  std::ifstream lines(directory / "descriptions.jsonl");
  std::vector<Document> documents;
  std::vector<std::string> questions;
  for (std::string line; std::getline(lines, line);) {
    const Json row = parse_json(line, "descriptions.jsonl");
    documents.push_back({.uri = row["name"], .text = row["text"]});
    questions.push_back(row["query"]);
  }
  ASSERT_EQ(documents.size(), 5000u);
  const Chunker whole([](std::string_view text) { return text.size(); }, "bytes", {.size = 1 << 20, .overlap = 0});
  const IngestReport report = ingest(store, whole, nullptr, documents, {.batch = 1000});
  EXPECT_EQ(report.passages, 5000u);
  Retriever retriever(store);
  RankingReport ten(10), one(1);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    std::vector<std::string> ranking;
    for (const Hit& hit : retriever.search({.text = questions[i]})) ranking.push_back(hit.document.uri);
    ten.add(ranking, {{documents[i].uri, 1}});
    one.add(ranking, {{documents[i].uri, 1}});
  }
  EXPECT_NEAR(one.mean().recall, 0.763, 0.005);
  EXPECT_NEAR(ten.mean().recall, 0.912, 0.005);
  EXPECT_NEAR(ten.mean().mrr, 0.817, 0.005);
  EXPECT_NEAR(ten.mean().ndcg, 0.840, 0.005);
}

}  // namespace
}  // namespace graft::retriever_test
