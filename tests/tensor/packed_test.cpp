#include "graft/tensor/packed.hpp"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

using Ids = std::vector<std::vector<std::int32_t>>;

TEST(PackedBatch, SequencesLieEndToEnd) {
  const PackedBatch batch = pack(Ids{{101, 7, 102}, {}, {101, 102}}, Ids{{0, 0, 1}, {}, {0, 1}});
  EXPECT_EQ(batch.sequences(), 3);
  EXPECT_EQ(batch.tokens(), 5);
  EXPECT_EQ(batch.longest(), 3);
  EXPECT_TRUE(torch::equal(batch.ids, torch::tensor({101, 7, 102, 101, 102}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(batch.type_ids, torch::tensor({0, 0, 1, 0, 1}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(batch.positions, torch::tensor({0, 1, 2, 0, 1}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(batch.offsets, torch::tensor({0, 3, 3, 5}, torch::kInt64)));
}

TEST(PackedBatch, WithoutTypesEveryTokenIsOfTypeZero) {
  EXPECT_TRUE(torch::equal(pack(Ids{{5, 6}}).type_ids, torch::zeros({2}, torch::kInt64)));
}

TEST(PackedBatch, ABatchOfNoneIsLegal) {
  const PackedBatch batch = pack(Ids{});
  EXPECT_EQ(batch.sequences(), 0);
  EXPECT_EQ(batch.tokens(), 0);
  EXPECT_EQ(batch.longest(), 0);
}

TEST(PackedBatch, OffsetsStayOnTheCpu) {
  const PackedBatch batch = pack(Ids{{5, 6}}).to(torch::kMeta);
  EXPECT_TRUE(batch.ids.is_meta());
  EXPECT_TRUE(batch.positions.is_meta());
  EXPECT_TRUE(batch.offsets.is_cpu());
}

TEST(PackedBatch, LengthsThatDifferAreAShapeError) {
  EXPECT_EQ(error_message([] {
              pack(Ids{{1, 2}, {3}}, Ids{{0, 0}});
            }),
            "ShapeError: type_ids hold 1 sequences, ids 2; give one for each, or none at all");
  EXPECT_EQ(error_message([] {
              pack(Ids{{1, 2}, {3}}, Ids{{0, 0}, {0, 0}});
            }),
            "ShapeError: sequence 1 has 1 ids and 2 type_ids; give one for each token");
}

}  // namespace
}  // namespace graft
