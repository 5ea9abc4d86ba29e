#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/detail/top_k.hpp"

#include <limits>
#include <set>
#include <thread>

#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

constexpr Metric kMetrics[] = {Metric::cosine, Metric::inner_product, Metric::euclidean};

/// Brute force in double precision: the k best of those allowed.
std::vector<Scored> brute_force(Metric metric, std::int64_t width, const std::vector<PassageId>& ids,
                                const std::vector<float>& vectors, const float* query, std::size_t k,
                                const std::set<PassageId>* allowed) {
  std::vector<Scored> all;
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (!allowed || allowed->contains(ids[i]))
      all.push_back({ids[i], test::score(metric, query, vectors.data() + i * static_cast<std::size_t>(width), width)});
  std::sort(all.begin(), all.end(), detail::before);
  all.resize(std::min(k, all.size()));
  return all;
}

/// Equal places may only be exchanged where scores agree to `tolerance`.
void expect_same_ranking(const std::vector<Scored>& found, const std::vector<Scored>& wanted, double tolerance) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i].score, wanted[i].score, tolerance) << "place " << i;
    EXPECT_TRUE(i == 0 || detail::before(found[i - 1], found[i]));
  }
}

TEST(ExactIndex, EqualsBruteForceForEveryMetricWidthAndFilter) {
  std::mt19937_64 random(7);
  for (const Metric metric : kMetrics)
    for (const std::int64_t width : {1, 3, 16, 17, 100, 384})
      for (const std::size_t count : {0, 1, 15, 16, 17, 333}) {
        const auto vectors = test::random_vectors(count, width, random());
        const auto queries = test::random_vectors(5, width, random());
        const auto ids = test::ids_from(1, count);
        ExactIndex index({"m", width, metric}, {.threads = 2});
        index.add(ids, vectors);
        std::vector<PassageId> some;
        for (const PassageId id : ids)
          if (random() % 3 == 0) some.push_back(id);
        some.push_back(999'999);  // not in the index
        const std::set<PassageId> some_set(some.begin(), some.end());
        for (const std::size_t k : {1, 10, 1000}) {
          const auto open = index.search(queries, k);
          const auto filtered = index.search(queries, k, &some);
          // float32 sums of `width` terms: 2^-24 each, times the size of the terms.
          const double tolerance = 1e-6 * (metric == Metric::cosine ? 1 : 4 * std::sqrt(width) * 10);
          for (std::size_t q = 0; q < 5; ++q) {
            const float* query = queries.data() + q * static_cast<std::size_t>(width);
            expect_same_ranking(open[q], brute_force(metric, width, ids, vectors, query, k, nullptr), tolerance);
            expect_same_ranking(filtered[q], brute_force(metric, width, ids, vectors, query, k, &some_set), tolerance);
          }
        }
      }
}

TEST(ExactIndex, AQueryGivesTheSameBitsAloneInABatchAndOnManyThreads) {
  for (const VectorStorage storage : {VectorStorage::float32, VectorStorage::float16})
    for (const Metric metric : kMetrics) {
      const std::int64_t width = 100;
      const auto vectors = test::random_vectors(3000, width, 1);
      const auto queries = test::random_vectors(140, width, 2);
      ExactIndex one({"m", width, metric}, {.storage = storage, .threads = 1});
      ExactIndex many({"m", width, metric}, {.storage = storage, .threads = 3});
      one.add(test::ids_from(1, 3000), vectors);
      many.add(test::ids_from(1, 3000), vectors);
      const auto batch = many.search(queries, 7);
      for (std::size_t q = 0; q < 140; ++q)
        EXPECT_EQ(one.search(std::span(queries).subspan(q * 100, 100), 7)[0], batch[q]);
    }
}

TEST(ExactIndex, StaysEqualToAFreshOneThroughRandomChanges) {
  std::mt19937_64 random(11);
  const std::int64_t width = 24;
  for (const VectorStorage storage : {VectorStorage::float32, VectorStorage::float16}) {
    ExactIndex index({"m", width, Metric::cosine}, {.storage = storage});
    std::map<PassageId, std::vector<float>> model;
    PassageId next = 1;
    for (int round = 0; round < 60; ++round) {
      const std::size_t count = random() % 20;
      const auto ids = test::ids_from(next, count);
      const auto vectors = test::random_vectors(count, width, random());
      index.add(ids, vectors);
      for (std::size_t i = 0; i < count; ++i)
        model[ids[i]] = {vectors.begin() + static_cast<std::ptrdiff_t>(i * 24),
                         vectors.begin() + static_cast<std::ptrdiff_t>((i + 1) * 24)};
      next += static_cast<PassageId>(count);
      std::vector<PassageId> gone;
      for (const auto& [id, vector] : model)
        if (random() % 5 == 0) gone.push_back(id);
      gone.push_back(next + 1000);
      index.remove(gone);
      for (const PassageId id : gone) model.erase(id);

      ExactIndex fresh({"m", width, Metric::cosine}, {.storage = storage});
      for (const auto& [id, vector] : model) fresh.add(std::vector{id}, vector);
      const auto query = test::random_vectors(1, width, random());
      ASSERT_EQ(index.search(query, 10), fresh.search(query, 10));
      ASSERT_EQ(index.size(), model.size());
    }
  }
}

TEST(ExactIndex, EqualScoresComeByIdInWhateverOrderTheyWereAdded) {
  ExactIndex index({"m", 2, Metric::cosine});
  index.add(std::vector<PassageId>{9, 4, 7, 1}, std::vector<float>{1, 0, 2, 0, 3, 0, 0, 1});
  const auto found = index.search(std::vector<float>{5, 0}, 3)[0];
  EXPECT_EQ(found, (std::vector<Scored>{{4, 1}, {7, 1}, {9, 1}}));
}

TEST(ExactIndex, HalfPrecisionFindsAlmostTheSame) {
  const std::int64_t width = 384;
  const auto vectors = test::random_vectors(4000, width, 3);
  const auto queries = test::random_vectors(100, width, 4);
  ExactIndex full({"m", width, Metric::cosine});
  ExactIndex half({"m", width, Metric::cosine}, {.storage = VectorStorage::float16});
  full.add(test::ids_from(1, 4000), vectors);
  half.add(test::ids_from(1, 4000), vectors);
  const auto exact = full.search(queries, 10), rounded = half.search(queries, 10);
  std::size_t same = 0;
  for (std::size_t q = 0; q < 100; ++q)
    for (const Scored& entry : rounded[q])
      for (const Scored& wanted : exact[q]) same += wanted.id == entry.id;
  // Unrelated vectors are the hard case: the tenth and eleventh score lie closer together than among real texts.
  EXPECT_GE(same, 990u);
}

TEST(ExactIndex, RefusesWhatCannotBeComparedAndStaysAsItWas) {
  ExactIndex index({"minilm", 2, Metric::cosine});
  index.add(std::vector<PassageId>{1}, std::vector<float>{1, 2});
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const auto add = [&](std::vector<PassageId> ids, std::vector<float> vectors) {
    return [&index, ids, vectors] { index.add(ids, vectors); };
  };
  expect_error<ShapeError>(add({2}, {1, 2, 3}),
                           "1 vector rows of model \"minilm\" need 1 x 2 numbers, but 3 were given");
  expect_error<OptionError>(add({2, 3}, {1, 2, nan, 0}),
                            "vector 1 of model \"minilm\" holds a number that is not finite");
  expect_error<OptionError>(add({2}, {-inf, 0}), "not finite");
  expect_error<OptionError>(add({2}, {0, 0}), "vector 0 of model \"minilm\" is zero, which has no cosine");
  expect_error<OptionError>(add({2, 2}, {1, 2, 3, 4}), "passage 2 is given twice");
  expect_error<OptionError>(add({5, 1}, {1, 2, 3, 4}), "passage 1 is already in the index");
  expect_error<ShapeError>([&] { index.search(std::vector<float>{1}, 1); }, "query rows");
  expect_error<OptionError>([&] { index.search(std::vector<float>{0, 0}, 1); }, "query 0 of model \"minilm\" is zero");
  EXPECT_EQ(index.ids(), std::vector<PassageId>{1});
  expect_error<OptionError>([] { ExactIndex({"", 3, Metric::cosine}); }, "no model");
  expect_error<OptionError>([] { ExactIndex({"m", 0, Metric::cosine}); }, "0 numbers wide; choose 1 to 65536");
  expect_error<OptionError>([] { ExactIndex({"m", 65537, Metric::cosine}); }, "65537 numbers wide");
}

TEST(ExactIndex, VerySmallAndVeryLargeVectorsKeepTheirCosine) {
  ExactIndex index({"m", 2, Metric::cosine});
  index.add(std::vector<PassageId>{1, 2}, std::vector<float>{1e-42f, 0, 3e38f, 3e38f});
  const auto found = index.search(std::vector<float>{1e-30f, 0}, 2)[0];
  EXPECT_EQ(found[0].id, 1);
  EXPECT_NEAR(found[0].score, 1.0, 1e-6);
  EXPECT_NEAR(found[1].score, std::sqrt(0.5), 1e-6);
}

TEST(ExactIndex, ManyThreadsMaySearchAtOnce) {
  const auto vectors = test::random_vectors(2000, 32, 5);
  ExactIndex index({"m", 32, Metric::cosine});
  index.add(test::ids_from(1, 2000), vectors);
  const auto query = test::random_vectors(1, 32, 6);
  const auto wanted = index.search(query, 5);
  std::vector<int> right(4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) right[static_cast<std::size_t>(t)] += index.search(query, 5) == wanted;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<int>(4, 50));
}

}  // namespace
}  // namespace graft
