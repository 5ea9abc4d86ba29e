#include "graft/tensor/token_budget.hpp"

#include <random>

#include <gtest/gtest.h>
#include <torch/types.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

PackedBatch batch_of(const std::vector<std::int64_t>& lengths) {
  std::vector<std::vector<std::int32_t>> ids, types;
  for (const std::int64_t length : lengths) {
    ids.emplace_back(static_cast<std::size_t>(length), static_cast<std::int32_t>(7 + length));
    types.emplace_back(static_cast<std::size_t>(length), 1);
  }
  return pack(ids, types);
}

void expect_padded(const PackedBatch& padded, const PackedBatch& batch, const TokenBudget& budget) {
  ASSERT_EQ(padded.tokens(), budget.padded_tokens());
  ASSERT_EQ(padded.sequences(), budget.padded_sequences());
  const std::int64_t own = batch.tokens(), rows = batch.sequences();
  EXPECT_TRUE(padded.ids.narrow(0, 0, own).equal(batch.ids));
  EXPECT_TRUE(padded.type_ids.narrow(0, 0, own).equal(batch.type_ids));
  EXPECT_TRUE(padded.offsets.narrow(0, 0, rows + 1).equal(batch.offsets));
  EXPECT_TRUE(padded.ids.slice(0, own).eq(0).all().item<bool>());
  EXPECT_TRUE(padded.type_ids.slice(0, own).eq(0).all().item<bool>());
  const torch::Tensor lengths = padded.offsets.diff();
  EXPECT_GE(lengths.min().item<std::int64_t>(), 1);
  EXPECT_LE(lengths.max().item<std::int64_t>(), budget.longest);
  EXPECT_EQ(padded.offsets[-1].item<std::int64_t>(), padded.tokens());
  const torch::Tensor starts = torch::repeat_interleave(padded.offsets.slice(0, 0, -1), lengths);
  EXPECT_TRUE(padded.positions.equal(torch::arange(padded.tokens()) - starts));
}

TEST(TokenBudget, PadsToOneShape) {
  const TokenBudget budget{.tokens = 20, .sequences = 4, .longest = 8};
  const std::vector<std::vector<std::int64_t>> all = {{1}, {8, 8, 4}, {8, 8, 3, 1}, {5, 5, 5, 5}, {1, 1, 1, 1}, {8}};
  for (const auto& lengths : all) {
    const PackedBatch batch = batch_of(lengths);
    expect_padded(pad_to_budget(batch, budget), batch, budget);
  }
}

TEST(TokenBudget, HasRoomForWhateverABatchLeavesOver) {
  std::mt19937_64 random(3);
  const auto draw = [&](std::int64_t most) { return 1 + static_cast<std::int64_t>(random() % std::uint64_t(most)); };
  for (int round = 0; round < 400; ++round) {
    const TokenBudget budget{.tokens = draw(60), .sequences = draw(12), .longest = draw(20)};
    std::vector<std::int64_t> lengths;
    const std::int64_t rows = draw(budget.sequences);
    for (std::int64_t tokens = 0; tokens < budget.tokens && std::int64_t(lengths.size()) < rows;) {
      lengths.push_back(draw(std::min(budget.longest, budget.tokens - tokens)));
      tokens += lengths.back();
    }
    const PackedBatch batch = batch_of(lengths);
    expect_padded(pad_to_budget(batch, budget), batch, budget);
    if (HasFailure()) FAIL() << budget.tokens << " " << budget.sequences << " " << budget.longest;
  }
}

TEST(TokenBudget, PadsLabelsWithWhatIsIgnored) {
  EXPECT_TRUE(pad_labels(torch::tensor({1, 0}), 4).equal(torch::tensor({1, 0, -100, -100})));
  EXPECT_TRUE(pad_labels(torch::tensor({1, 0}), 3, -1).equal(torch::tensor({1, 0, -1})));
}

TEST(TokenBudget, RefusesWhatExceedsIt) {
  const TokenBudget budget{.tokens = 10, .sequences = 3, .longest = 6};
  const auto refused = [&](const std::vector<std::int64_t>& lengths) {
    return error_message([&] { pad_to_budget(batch_of(lengths), budget); });
  };
  const std::string end = "; the budget is 10 in 3 of at most 6. Make smaller batches or raise the budget";
  EXPECT_EQ(refused({6, 5}), "ShapeError: the batch has 11 tokens in 2 sequences of at most 6" + end);
  EXPECT_EQ(refused({7}), "ShapeError: the batch has 7 tokens in 1 sequences of at most 7" + end);
  EXPECT_EQ(refused({1, 1, 1, 1}), "ShapeError: the batch has 4 tokens in 4 sequences of at most 1" + end);
  EXPECT_EQ(refused({}), "ShapeError: the batch has no sequence; leave it out");
  EXPECT_EQ(refused({2, 0}), "ShapeError: sequence 1 of the batch has no token; leave it out");
  EXPECT_EQ(error_message([] { check_budget({.tokens = 5, .sequences = 0, .longest = 5}); }),
            "OptionError: a budget of 5 tokens in 0 sequences of at most 5; choose each at least 1");
}

}  // namespace
}  // namespace graft
