#include "graft/retrieval/query_map.hpp"

#include <utility>

#include "graft/io/safetensors.hpp"
#include "retrieval/support.hpp"

namespace graft::query_map_test {
namespace {

using test::expect_error;

const VectorSpace kSpace{"model-a", 3, Metric::cosine};

TEST(QueryMap, StartsAsTheIdentity) {
  const QueryMap map(kSpace);
  EXPECT_EQ(map.apply(std::vector<float>{1, 2, 3, -4, 5, 6}), (std::vector<float>{1, 2, 3, -4, 5, 6}));
  EXPECT_TRUE(map.apply({}).empty());
  EXPECT_EQ(map.space(), kSpace);
}

TEST(QueryMap, MapsAndBlends) {
  const QueryMap map(kSpace, {0, 2, 0, 1, 0, 0, 0, 0, -1});
  EXPECT_EQ(map.apply(std::vector<float>{1, 2, 3}), (std::vector<float>{4, 1, -3}));
  EXPECT_EQ(map.blended(0.5).apply(std::vector<float>{1, 2, 3}), (std::vector<float>{2.5, 1.5, 0}));
  EXPECT_EQ(map.blended(0).weights(), QueryMap(kSpace).weights());
  EXPECT_EQ(map.blended(1).fingerprint(), map.fingerprint());
  expect_error<OptionError>([&] { map.blended(1.5); }, "blend is 1.5; choose a number from 0 to 1");
  expect_error<ShapeError>([&] { map.apply(std::vector<float>{1, 2}); }, "was given 2 numbers");
}

TEST(QueryMap, AnotherSpaceOrWeightIsAnotherFingerprint) {
  const std::vector<float> weights(9, 0.5f);
  std::vector<float> other = weights;
  other[8] = 0.25f;
  const std::string print = QueryMap(kSpace, weights).fingerprint();
  EXPECT_EQ(print.size(), 20u);
  EXPECT_EQ(print, QueryMap(kSpace, weights, {{"seed", "1"}}).fingerprint());
  EXPECT_NE(print, QueryMap(kSpace, other).fingerprint());
  EXPECT_NE(print, QueryMap({"model-b", 3, Metric::cosine}, weights).fingerprint());
  EXPECT_NE(print, QueryMap({"model-a", 3, Metric::euclidean}, weights).fingerprint());
}

TEST(QueryMap, RefusesWhatIsNoMap) {
  expect_error<ShapeError>([] { QueryMap(kSpace, {1, 2}); }, "has 9 weights, but 2 were given");
  expect_error<OptionError>(
      [] {
        QueryMap(kSpace, {0, 0, 0, 0, 0, NAN, 0, 0, 0});
      },
      "weight [1, 2] of a map of questions is nan");
  expect_error<OptionError>([] { QueryMap({"", 3, Metric::cosine}); }, "model");
  expect_error<OptionError>([] { QueryMap({"wide", 20'000, Metric::cosine}); }, "a map of questions takes up to 16384");
}

TEST(QueryMap, ComesBackFromItsFile) {
  const TemporaryDirectory directory;
  const auto path = directory / "map.safetensors";
  const QueryMap map({"modèle", 2, Metric::inner_product}, {1, 2, 3, 4.5}, {{"seed", "7"}, {"pairs", "12"}});
  map.save(path);
  const QueryMap again = QueryMap::load(path);
  EXPECT_EQ(again.space(), map.space());
  EXPECT_EQ(again.weights(), map.weights());
  EXPECT_EQ(again.training(), map.training());
  EXPECT_EQ(again.fingerprint(), map.fingerprint());
  expect_error<FileError>([&] { map.save(directory / "no/such/place"); }, "place");
  QueryMap(kSpace).save(path);
  EXPECT_EQ(QueryMap::load(path).space(), kSpace) << "a file that is there is replaced";
}

TEST(QueryMap, RefusesAFileThatIsNoneOrWasChanged) {
  const TemporaryDirectory directory;
  const auto path = directory / "map.safetensors";
  const std::map<std::string, std::string> good = {{"format", "graft.query_map.1"},
                                                   {"model", "m"},
                                                   {"metric", "cosine"},
                                                   {"fingerprint", QueryMap({"m", 2, Metric::cosine}).fingerprint()}};
  const auto with = [&](const char* name, const char* value) {
    auto out = good;
    out[name] = value;
    return out;
  };
  const std::vector<float> numbers = {1, 0, 0, 1}, bad = {1, 0, INFINITY, 1}, other = {1, 0, 0, 2};
  const auto write = [&](const std::map<std::string, std::string>& metadata, const std::vector<float>& values,
                         std::vector<std::int64_t> shape, const char* name = "weight") {
    const TensorBytes tensor{.name = name, .shape = std::move(shape), .bytes = std::as_bytes(std::span(values))};
    write_safetensors(path, std::span(&tensor, 1), metadata);
  };
  write(good, numbers, {2, 2});
  EXPECT_NO_THROW(QueryMap::load(path));
  const std::pair<std::function<void()>, const char*> table[] = {
      {[&] {
         write(with("format", "pt"), numbers, {2, 2});
       },
       "is no map of questions: its format is \"pt\""},
      {[&] {
         write({}, numbers, {2, 2});
       },
       "its format is \"\""},
      {[&] {
         write(good, numbers, {4, 1});
       },
       "does not hold one float32 tensor \"weight\" as wide as high"},
      {[&] { write(good, numbers, {4}); }, "as wide as high"},
      {[&] {
         write(good, numbers, {2, 2}, "weights");
       },
       "as wide as high"},
      {[&] {
         write(with("metric", "angle"), numbers, {2, 2});
       },
       "does not say whose vectors it maps"},
      {[&] {
         write(with("model", ""), numbers, {2, 2});
       },
       "does not say whose vectors it maps"},
      {[&] {
         write(good, bad, {2, 2});
       },
       "weight 2 is inf"},
      {[&] {
         write(good, other, {2, 2});
       },
       "was changed since it was written: its fingerprint is map-"},
      {[&] {
         write(with("model", "n"), numbers, {2, 2});
       },
       "was changed since it was written"},
      {[&] { test::write_bytes(path, "nothing"); }, "map.safetensors"},
      {[&] {
         write(good, numbers, {2, 2});
         const std::string bytes = test::read_bytes(path);
         test::write_bytes(path, bytes.substr(0, bytes.size() - 4));
       },
       "map.safetensors"},
  };
  for (const auto& [make, part] : table) {
    make();
    expect_error<FormatError>([&] { QueryMap::load(path); }, part);
  }
  expect_error<FileError>([&] { QueryMap::load(directory / "nowhere"); }, "nowhere");
}

}  // namespace
}  // namespace graft::query_map_test
