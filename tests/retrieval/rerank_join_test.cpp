#include "graft/retrieval/rerank_join.hpp"

#include <cmath>
#include <limits>
#include <random>

#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

/// Candidate d is of document d; the first is number 1.
RerankExample example(const std::vector<RerankScores>& candidates, std::vector<DocumentId> right) {
  RerankExample out{candidates, {}, std::move(right)};
  for (std::size_t i = 0; i < candidates.size(); ++i) out.documents.push_back(static_cast<DocumentId>(i + 1));
  return out;
}

TEST(JoinReranked, IsAWeightedSumAndWhatIsMissingHasTheLeastOfItsKind) {
  const std::vector<RerankScores> candidates = {{-1, 0.5, 10}, {2, 0.75, {}}, {4, {}, 8}};
  EXPECT_EQ(join_reranked(candidates, {}), (std::vector<double>{-1, 2, 4})) << "the reranker alone";
  EXPECT_EQ(join_reranked(candidates, {2, 8, 0.5}), (std::vector<double>{-2 + 4 + 5, 4 + 6 + 4, 8 + 4 + 4}));
  const std::vector<RerankScores> words = {{1, {}, 3}, {2, {}, 1}};
  EXPECT_EQ(join_reranked(words, {1, 100, 1}), (std::vector<double>{4, 3})) << "nothing was found by vector";
  EXPECT_TRUE(join_reranked({}, {}).empty());
}

TEST(JoinReranked, RefusesWeightsOutOfRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  expect_error<OptionError>(
      [] {
        join_reranked({}, {1, -0.5, 0});
      },
      "a weight of the reranking is -0.5; choose 0 or more");
  expect_error<OptionError>([&] { join_reranked({}, {nan, 0, 0}); }, "a weight of the reranking is nan");
  expect_error<OptionError>([&] { join_reranked({}, {1, 0, infinity}); }, "a weight of the reranking is inf");
  expect_error<OptionError>([] { join_reranked({}, {0, 0, 0}); }, "all weights of the reranking are 0");
}

TEST(RerankedNdcg, CountsADocumentOnceInTheOrderOfTheJoin) {
  RerankExample it = example({{3, 0.1, {}}, {2, 0.2, {}}, {1, 0.9, {}}}, {7});
  it.documents = {5, 5, 7};
  EXPECT_DOUBLE_EQ(reranked_ndcg(it, {}), 1 / std::log2(3.0)) << "behind one other document";
  EXPECT_DOUBLE_EQ(reranked_ndcg(it, {0, 1, 0}), 1);
  it.right = {8};
  EXPECT_DOUBLE_EQ(reranked_ndcg(it, {}), 0);
  it.documents.pop_back();
  expect_error<OptionError>([&] { reranked_ndcg(it, {}); }, "has 3 candidates and 2 documents");
}

TEST(LearnRerankWeights, FindsTheWeightsThatTheAnswersWereDrawnBy) {
  // The chance of a candidate is the softmax of 2 reranker + 10 similarity; BM25 says nothing.
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  std::vector<RerankExample> examples;
  for (int q = 0; q < 4000; ++q) {
    std::vector<RerankScores> candidates;
    std::vector<double> chances;
    for (int i = 0; i < 8; ++i) {
      candidates.push_back({normal(random), 0.1 * normal(random), normal(random)});
      chances.push_back(std::exp(2 * candidates[i].reranker + 10 * *candidates[i].similarity));
    }
    std::discrete_distribution<DocumentId> draw(chances.begin(), chances.end());
    examples.push_back(example(candidates, {draw(random) + 1}));
  }
  const RerankResult result = learn_rerank_weights(examples);
  // Their standard errors are 0.04, 0.3 and 0.02.
  EXPECT_NEAR(result.weights.reranker, 2, 0.15);
  EXPECT_NEAR(result.weights.vector, 10, 1);
  EXPECT_NEAR(result.weights.word, 0, 0.08);
  EXPECT_GT(result.joined, result.reranker + 0.01);
}

TEST(LearnRerankWeights, IsNeverWorseThanTheRerankerAloneNorNegative) {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  for (int round = 0; round < 50; ++round) {
    std::vector<RerankExample> examples;
    for (int q = 0; q < 6; ++q) {
      std::vector<RerankScores> candidates;
      for (int i = 0; i < 20; ++i) {
        candidates.push_back({normal(random), {}, {}});
        if (random() % 2) candidates.back().similarity = normal(random);
        if (random() % 2) candidates.back().word_score = normal(random);
      }
      examples.push_back(example(candidates, {1 + static_cast<DocumentId>(random() % 25)}));
    }
    const RerankResult result = learn_rerank_weights(examples);
    EXPECT_GE(result.joined, result.reranker);
    double joined = 0;
    for (const RerankExample& it : examples) joined += reranked_ndcg(it, result.weights) / 6;  // refuses negative ones
    EXPECT_NEAR(joined, result.joined, 1e-12);
  }
}

TEST(LearnRerankWeights, StaysFiniteWhereAllIsAnsweredAndLeavesTheRerankerAloneWhereNothingIs) {
  const std::vector<RerankExample> sure(3, example({{1, 0.5, {}}, {-1, 0.4, {}}}, {1}));
  const RerankResult result = learn_rerank_weights(sure);
  EXPECT_EQ(result.joined, 1);
  EXPECT_EQ(result.search, 1);
  EXPECT_GT(result.weights.reranker, 0);
  EXPECT_LT(result.weights.reranker, 1000);
  EXPECT_EQ(result.weights.word, 0);
  EXPECT_EQ(learn_rerank_weights(std::vector{example({{1, 0.5, {}}, {2, 0.4, {}}}, {9})}).weights, RerankWeights());
  EXPECT_EQ(learn_rerank_weights(std::vector{example({}, {9})}).weights, RerankWeights());
}

TEST(LearnRerankWeights, RefusesExamplesThatSayNothingOrTooLittle) {
  expect_error<OptionError>([] { learn_rerank_weights({}); }, "weights are learned from held-out questions");
  expect_error<OptionError>(
      [] {
        learn_rerank_weights(std::vector{example({{1, 2, 3}}, {})});
      },
      "has nothing relevant to find");
}

}  // namespace
}  // namespace graft
