#include "graft/retrieval/hnsw.hpp"
#include "graft/core/hash.hpp"
#include "graft/retrieval/detail/hnsw_graph.hpp"

#include <map>
#include <set>

#include "graft/retrieval/exact.hpp"
#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

/// Vectors that lie as sentence vectors do: around centres, in few directions.
std::vector<float> clustered(std::size_t count, std::int64_t width, std::uint64_t seed) {
  const auto directions = test::random_vectors(8, width, 99);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out;
  for (std::size_t i = 0; i < count; ++i) {
    float weights[8];
    for (float& weight : weights) weight = normal(random);
    for (std::int64_t c = 0; c < width; ++c) {
      float x = 0.5f * normal(random);
      for (std::size_t d = 0; d < 8; ++d)
        x += weights[d] * directions[d * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)];
      out.push_back(x);
    }
  }
  return out;
}

double recall(const std::vector<std::vector<Scored>>& found, const std::vector<std::vector<Scored>>& wanted) {
  std::size_t same = 0, all = 0;
  for (std::size_t q = 0; q < wanted.size(); ++q)
    for (const Scored& entry : wanted[q]) {
      ++all;
      for (const Scored& here : found[q]) same += here.id == entry.id;
    }
  return static_cast<double>(same) / static_cast<double>(all);
}

TEST(HnswIndex, FindsAlmostWhatExactSearchFindsForEveryMetric) {
  const auto vectors = clustered(4000, 48, 1);
  const auto queries = clustered(50, 48, 2);
  for (const Metric metric : {Metric::cosine, Metric::euclidean, Metric::inner_product}) {
    HnswIndex graph({"m", 48, metric}, {.ef_search = 100});
    ExactIndex exact({"m", 48, metric});
    graph.add(test::ids_from(1, 4000), vectors);
    exact.add(test::ids_from(1, 4000), vectors);
    const auto found = graph.search(queries, 10), wanted = exact.search(queries, 10);
    EXPECT_GT(recall(found, wanted), metric == Metric::inner_product ? 0.8 : 0.97) << metric_name(metric);
    for (std::size_t q = 0; q < 50; ++q)
      EXPECT_NEAR(found[q][0].score, wanted[q][0].score, 1e-3 * std::abs(wanted[q][0].score)) << metric_name(metric);
  }
}

TEST(HnswGraph, NearestFindsWhatHnswlibsOwnSearchFinds) {
  const std::int64_t width = 48;
  const auto vectors = clustered(2000, width, 11), queries = clustered(40, width, 12);
  for (const Metric metric : {Metric::euclidean, Metric::inner_product})
    for (const std::uint32_t removed_every : {0u, 3u}) {
      detail::HnswGraph graph(std::make_unique<detail::HnswSpace>(metric, 48), 2000, 8, 60);
      for (std::size_t i = 0; i < 2000; ++i) graph.addPoint(&vectors[i * 48], i + 1);
      for (std::uint32_t id = 1; removed_every > 0 && id <= 2000; id += removed_every) graph.markDelete(id);
      for (const std::size_t depth : {1, 7, 64}) {
        graph.setEf(depth);
        for (std::size_t q = 0; q < 40; ++q) {
          std::map<PassageId, float> wanted, found;
          for (auto near = graph.searchKnn(&queries[q * 48], depth); !near.empty(); near.pop())
            wanted.emplace(static_cast<PassageId>(near.top().second), near.top().first);
          for (const auto& near : graph.nearest(&queries[q * 48], depth))
            found.emplace(graph.id(near.row), near.distance);
          ASSERT_EQ(found.size(), depth);
          for (const auto& [id, distance] : wanted) {
            ASSERT_TRUE(found.contains(id)) << metric_name(metric) << ", depth " << depth << ", query " << q;
            EXPECT_NEAR(found[id], distance, 1e-3);  // sums of 48 products of up to 10, in another order
          }
        }
      }
    }
}

TEST(HnswIndex, GivesAsManyAsThereAreUnderFiltersAndAfterRemovals) {
  const auto vectors = clustered(3000, 16, 3);
  const auto queries = clustered(5, 16, 4);
  HnswIndex graph({"m", 16, Metric::cosine}, {.ef_search = 20});
  ExactIndex exact({"m", 16, Metric::cosine});
  graph.add(test::ids_from(1, 3000), vectors);
  exact.add(test::ids_from(1, 3000), vectors);
  std::mt19937_64 random(5);
  std::set<PassageId> live;
  for (const PassageId id : test::ids_from(1, 3000)) live.insert(id);
  for (int round = 0; round < 12; ++round) {
    std::vector<PassageId> gone;
    for (const PassageId id : live)
      if (random() % 6 == 0) gone.push_back(id);
    graph.remove(gone);
    exact.remove(gone);
    for (const PassageId id : gone) live.erase(id);
    ASSERT_EQ(graph.size(), live.size());
    for (const std::size_t share : {1, 2, 10, 300}) {
      std::vector<PassageId> allowed;
      for (const PassageId id : live)
        if (random() % share == 0) allowed.push_back(id);
      allowed.push_back(1'000'000);
      for (const std::size_t k : {1, 10, 5000}) {
        const auto found = graph.search(queries, k, &allowed), wanted = exact.search(queries, k, &allowed);
        for (std::size_t q = 0; q < 5; ++q) {
          ASSERT_EQ(found[q].size(), wanted[q].size()) << "k " << k << " of " << allowed.size();
          std::set<PassageId> once;
          for (const Scored& entry : found[q]) {
            ASSERT_TRUE(once.insert(entry.id).second);
            ASSERT_TRUE(std::binary_search(allowed.begin(), allowed.end(), entry.id));
          }
        }
      }
    }
    ASSERT_EQ(graph.search(queries, 10)[0].size(), std::min<std::size_t>(10, live.size()));
  }
}

TEST(HnswIndex, RemovedIdsAreGoneAndMayComeBackElsewhere) {
  HnswIndex graph({"m", 2, Metric::cosine});
  graph.add(std::vector<PassageId>{1, 2, 3}, std::vector<float>{1, 0, 0, 1, -1, 0});
  graph.remove(std::vector<PassageId>{1, 77});
  EXPECT_FALSE(graph.contains(1));
  EXPECT_EQ(graph.search(std::vector<float>{1, 0}, 3)[0].size(), 2u);
  graph.add(std::vector<PassageId>{1}, std::vector<float>{0, -1});
  EXPECT_EQ(graph.search(std::vector<float>{0, -1}, 1)[0][0].id, 1);
  EXPECT_EQ(graph.size(), 3u);
  graph.remove(std::vector<PassageId>{1, 2, 3});
  EXPECT_TRUE(graph.search(std::vector<float>{1, 0}, 3)[0].empty());
}

TEST(HnswIndex, ASavedGraphComesBackTheSame) {
  const TemporaryDirectory directory;
  const auto vectors = clustered(1500, 20, 6);
  const auto queries = clustered(20, 20, 7);
  HnswIndex graph({"m", 20, Metric::cosine});
  graph.add(test::ids_from(5, 1500), vectors);
  graph.remove(test::ids_from(100, 50));
  graph.save(directory / "index", "stamp of the store");
  auto [loaded, stamp] = HnswIndex::load(directory / "index", {"m", 20, Metric::cosine});
  EXPECT_EQ(stamp, "stamp of the store");
  EXPECT_EQ(loaded.size(), 1450u);
  EXPECT_EQ(loaded.search(queries, 10), graph.search(queries, 10));
  loaded.add(test::ids_from(9000, 10), std::span(queries).first(200));
  EXPECT_EQ(loaded.search(std::span(queries).first(20), 1)[0][0].id, 9000);
  HnswIndex empty({"m", 20, Metric::cosine});
  empty.save(directory / "empty", "");
  EXPECT_EQ(HnswIndex::load(directory / "empty", {"m", 20, Metric::cosine}).first.size(), 0u);
}

TEST(HnswIndex, RefusesAFileThatIsDamagedCutShortOrOfAnotherKind) {
  const TemporaryDirectory directory;
  const VectorSpace space{"m", 4, Metric::cosine};
  HnswIndex graph(space);
  graph.add(test::ids_from(1, 200), clustered(200, 4, 8));
  graph.save(directory / "index", "s");
  const std::string whole = test::read_bytes(directory / "index");
  const auto load = [&] { HnswIndex::load(directory / "index", space); };
  std::mt19937_64 random(9);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = whole;
    damaged[i < 400 ? static_cast<std::size_t>(i) : random() % whole.size()] ^= static_cast<char>(1 + random() % 255);
    test::write_bytes(directory / "index", damaged);
    ASSERT_THROW(load(), FormatError) << i;
  }
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 200) {
    test::write_bytes(directory / "index", whole.substr(0, size));
    ASSERT_THROW(load(), FormatError) << size;
  }
  test::write_bytes(directory / "index", whole + "x");
  expect_error<FormatError>(load, "the checksum does not fit; build the index again");
  test::write_bytes(directory / "index", std::string(1000, 'x'));
  expect_error<FormatError>(load, "this is no index of graft");
  test::write_bytes(directory / "index", whole);
  expect_error<FormatError>(
      [&] {
        HnswIndex::load(directory / "index", {"n", 4, Metric::cosine});
      },
      "of another model or was built with other options");
  expect_error<FormatError>([&] { HnswIndex::load(directory / "index", space, {.links = 8}); },
                            "of another model or was built with other options");
  expect_error<FileError>([&] { HnswIndex::load(directory / "none", space); }, "none");
}

/// The file with one number of its body changed and a checksum that fits: what a hostile writer would make.
TEST(HnswIndex, AFileWithAFittingChecksumIsStillCheckedNumberByNumber) {
  const TemporaryDirectory directory;
  const VectorSpace space{"m", 4, Metric::cosine};
  HnswIndex graph(space);
  graph.add(test::ids_from(1, 200), clustered(200, 4, 8));
  graph.save(directory / "index", "s");
  const std::string whole = test::read_bytes(directory / "index");
  const auto queries = clustered(20, 4, 9);
  std::mt19937_64 random(10);
  std::size_t refused = 0;
  for (int i = 0; i < 800; ++i) {
    std::string changed = whole.substr(0, whole.size() - 8);
    for (int n = 0; n < 3; ++n) changed[24 + random() % (changed.size() - 24)] = static_cast<char>(random());
    Checksum sum;
    sum.add(std::as_bytes(std::span(changed)));
    const std::uint64_t value = sum.value();
    changed.append(reinterpret_cast<const char*>(&value), sizeof value);
    test::write_bytes(directory / "index", changed);
    try {
      const HnswIndex loaded = HnswIndex::load(directory / "index", space).first;
      loaded.search(queries, 10);  // must not read outside: seen under the address sanitizer
    } catch (const FormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100u);
}

TEST(HnswIndex, RefusesWhatExactIndexRefuses) {
  HnswIndex index({"m", 2, Metric::cosine});
  index.add(std::vector<PassageId>{1}, std::vector<float>{1, 2});
  expect_error<OptionError>(
      [&] {
        index.add(std::vector<PassageId>{1}, std::vector<float>{1, 2});
      },
      "passage 1 is already in the index");
  expect_error<ShapeError>([&] { index.add(std::vector<PassageId>{2}, std::vector<float>{1}); }, "need 1 x 2 numbers");
  expect_error<OptionError>([&] { index.search(std::vector<float>{NAN, 0}, 1); }, "not finite");
  expect_error<OptionError>([] { HnswIndex({"m", 2, Metric::cosine}, {.links = 1}); }, "links is 1; choose 2 to 200");
  expect_error<OptionError>(
      [] {
        HnswIndex({"m", 2, Metric::cosine}, {.ef_construction = 3});
      },
      "ef_construction is 3; choose 16 to 10000");
  expect_error<OptionError>([] { HnswIndex({"m", 2, Metric::cosine}, {.ef_search = 0}); }, "ef_search is 0");
}

}  // namespace
}  // namespace graft
