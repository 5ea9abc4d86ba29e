#include "graft/retrieval/fusion.hpp"

#include "retrieval/support.hpp"

namespace graft {
namespace {

TEST(ReciprocalRankFusion, SumsWeightOverKPlusPlace) {
  const std::vector<Scored> a = {{1, 0.9}, {2, 0.8}, {3, 0.7}}, b = {{3, 12.0}, {4, 11.0}};
  const auto joined = reciprocal_rank_fusion(std::vector<RankedList>{{a}, {b, 0.5}});
  ASSERT_EQ(joined.size(), 4u);
  EXPECT_EQ(joined[0].id, 3);
  EXPECT_DOUBLE_EQ(joined[0].score, 1.0 / 63 + 0.5 / 61);
  EXPECT_EQ(joined[1], (Scored{1, 1.0 / 61}));
  EXPECT_EQ(joined[2], (Scored{2, 1.0 / 62}));
  EXPECT_EQ(joined[3], (Scored{4, 0.5 / 62}));
}

TEST(ReciprocalRankFusion, DoesNotDependOnTheOrderOfTheLists) {
  const std::vector<Scored> a = {{5, 1}, {2, 1}}, b = {{2, 1}, {5, 1}};
  EXPECT_EQ(reciprocal_rank_fusion(std::vector<RankedList>{{a}, {b}}),
            reciprocal_rank_fusion(std::vector<RankedList>{{b}, {a}}));
  EXPECT_EQ(reciprocal_rank_fusion(std::vector<RankedList>{{a}, {b}})[0].id, 2) << "equal scores stand by id";
  EXPECT_TRUE(reciprocal_rank_fusion({}).empty());
}

TEST(ReciprocalRankFusion, RefusesWeightsAndListsThatMeanNothing) {
  const std::vector<Scored> a = {{1, 1}, {1, 0}}, b = {{1, 1}};
  test::expect_error<OptionError>(
      [&] {
        reciprocal_rank_fusion(std::vector<RankedList>{{b}, {a}});
      },
      "list 1 holds id 1 twice");
  test::expect_error<OptionError>(
      [&] {
        reciprocal_rank_fusion(std::vector<RankedList>{{b, -1}});
      },
      "weight of list 0 is -1");
  test::expect_error<OptionError>([&] { reciprocal_rank_fusion(std::vector<RankedList>{{b}}, -2); },
                                  "k of reciprocal rank fusion is -2");
}

}  // namespace
}  // namespace graft
