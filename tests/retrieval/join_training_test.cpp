#include "graft/retrieval/join_training.hpp"

#include <cmath>
#include <numeric>
#include <random>

#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

/// Passage 10 d + p belongs to document d.
JoinExample example(const std::vector<PassageId>& vectors, const std::vector<PassageId>& words,
                    std::vector<DocumentId> right) {
  JoinExample out;
  for (const auto& [from, to] : {std::pair{&vectors, &out.vectors}, {&words, &out.words}})
    for (const PassageId id : *from) {
      to->push_back({id, 1.0 / static_cast<double>(to->size() + 1)});
      out.documents[id] = id / 10;
    }
  out.right = std::move(right);
  return out;
}

TEST(JoinedNdcg, CountsADocumentOnceAndJoinsAsTheRetrieverDoes) {
  const JoinExample it = example({11, 12, 20, 30}, {40, 30}, {3});
  // By vector: documents 1, 2, 3. Passage 30 is fourth, of the third document.
  EXPECT_DOUBLE_EQ(joined_ndcg(it, {1, 0, 60}), 1 / std::log2(4.0));
  EXPECT_DOUBLE_EQ(joined_ndcg(it, {0, 1, 60}), 1 / std::log2(3.0));
  EXPECT_DOUBLE_EQ(joined_ndcg(it, {1, 1, 60}), 1) << "1/64 + 1/62 is the most";
  EXPECT_DOUBLE_EQ(joined_ndcg(it, {1, 1, 0}), 1 / std::log2(4.0)) << "1/4 + 1/2 is less than 1";
  EXPECT_DOUBLE_EQ(joined_ndcg(example({10}, {}, {7}), {}), 0);
}

TEST(LearnJoin, IsNeverWorseThanEitherPart) {
  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    std::vector<JoinExample> examples;
    for (int i = 0; i < 15; ++i) {
      std::vector<PassageId> all(20), vectors, words;
      std::iota(all.begin(), all.end(), 1);
      std::shuffle(all.begin(), all.end(), random);
      vectors.assign(all.begin(), all.begin() + 15);
      std::shuffle(all.begin(), all.end(), random);
      words.assign(all.begin(), all.begin() + 15);
      for (auto* list : {&vectors, &words})
        for (PassageId& id : *list) id *= 10;
      examples.push_back(example(vectors, words, {1 + static_cast<DocumentId>(random() % 20)}));
    }
    const JoinResult result = learn_join(examples);
    for (const double other : {result.vectors, result.words, result.equal}) EXPECT_GE(result.joined, other);
    double sum = 0;
    for (const JoinExample& it : examples) sum += joined_ndcg(it, result.weights);
    EXPECT_DOUBLE_EQ(sum / 15, result.joined);
  }
}

TEST(LearnJoin, TrustsThePartThatFindsAndElseLeavesTheWeightsEqual) {
  const std::vector<JoinExample> vectors(3, example({10, 20}, {30, 40, 50}, {1}));
  const JoinResult same = learn_join(vectors);
  EXPECT_EQ(same.joined, 1);
  EXPECT_EQ(same.words, 0);
  EXPECT_EQ(same.weights, JoinWeights()) << "found first either way";
  const std::vector<JoinExample> words(3, example({10, 20, 30}, {30, 40, 50, 10}, {4}));
  const JoinResult learned = learn_join(words);
  EXPECT_GT(learned.joined, learned.equal);
  EXPECT_GT(learned.weights.word, learned.weights.vector);
}

TEST(LearnJoin, RefusesExamplesWithoutARightDocument) {
  expect_error<OptionError>([] { learn_join({}); }, "weights are learned from held-out questions, but there is none");
  expect_error<OptionError>([] { learn_join(std::vector{example({10}, {20}, {})}); }, "has nothing relevant to find");
  JoinExample it = example({10}, {20}, {1});
  it.documents.erase(20);
  expect_error<OptionError>([&] { learn_join(std::vector{it}); }, "the document of passage 20 is not named");
}

}  // namespace
}  // namespace graft
