#include "graft/retrieval/query_encoders.hpp"

#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/add.hpp"
#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

struct QueryEncoders : testing::Test {
  TemporaryDirectory directory;
  SqliteStore store{directory / "store.db"};
};

TEST_F(QueryEncoders, AreKeptForEachSpaceAndReplacedByFingerprint) {
  const VectorSpace other{"model-b", 2, Metric::cosine};
  auto writer = store.write();
  EXPECT_TRUE(query_encoders(*writer, kSpace).empty());
  put_query_encoder(*writer, kSpace, {"map-2"});
  put_query_encoder(*writer, kSpace, {"map-1", JoinWeights{0.1, 1 / 3.0, 5}});
  put_query_encoder(*writer, kSpace, {"", JoinWeights{1, 2, 60}});
  put_query_encoder(*writer, kSpace, {"map-2", JoinWeights{0, 1, 0}});
  writer->commit();
  const auto snapshot = store.read();
  EXPECT_EQ(query_encoders(*snapshot, kSpace), (std::vector<QueryEncoder>{{"", JoinWeights{1, 2, 60}},
                                                                          {"map-1", JoinWeights{0.1, 1 / 3.0, 5}},
                                                                          {"map-2", JoinWeights{0, 1, 0}}}));
  EXPECT_TRUE(query_encoders(*snapshot, other).empty());
  EXPECT_EQ(find_query_encoder(*snapshot, kSpace, "map-1")->join->rank_constant, 5);
  EXPECT_FALSE(find_query_encoder(*snapshot, kSpace, "map-3"));
  auto again = store.write();
  EXPECT_TRUE(remove_query_encoder(*again, kSpace, "map-1"));
  EXPECT_FALSE(remove_query_encoder(*again, kSpace, "map-1"));
  EXPECT_TRUE(remove_query_encoder(*again, kSpace, ""));
  EXPECT_TRUE(remove_query_encoder(*again, kSpace, "map-2"));
  EXPECT_TRUE(again->notes().empty());
}

TEST_F(QueryEncoders, RefuseWhatCannotBe) {
  auto writer = store.write();
  const std::pair<QueryEncoder, const char*> table[] = {
      {{"a", JoinWeights{-1, 1, 60}}, "a weight of the join is -1; choose 0 or more"},
      {{"a", JoinWeights{1, NAN, 60}}, "a weight of the join is nan"},
      {{"a", JoinWeights{1, 1, INFINITY}}, "a weight of the join is inf"},
      {{std::string(201, 'f')}, "has 201 bytes; at most 200 are kept"},
      {{"\xff"}, "is not UTF-8"},
  };
  for (const auto& [encoder, part] : table)
    expect_error<OptionError>([&, &encoder = encoder] { put_query_encoder(*writer, kSpace, encoder); }, part);
  EXPECT_TRUE(writer->notes().empty());
}

TEST_F(QueryEncoders, ANoteOfAnotherShapeIsAnError) {
  auto writer = store.write();
  for (const auto& [text, part] :
       {std::pair{"no json", "the store's note \"query encoders of model-a\""},
        {"[]", "query encoders of model-a"},
        {"{\"map-1\": 3}", "\"map-1\" is 3"},
        {"{\"map-1\": {\"join\": {\"vector\": 1, \"word\": 1}}}", "rank_constant"},
        {"{\"map-1\": {\"join\": {\"vector\": -1, \"word\": 1, \"rank_constant\": 1}}}", "\"vector\" is -1"}}) {
    writer->set_note("query encoders of model-a", text);
    expect_error<FormatError>([&] { query_encoders(*writer, kSpace); }, part);
  }
}

}  // namespace
}  // namespace graft
