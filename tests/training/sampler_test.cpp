#include "graft/training/sampler.hpp"

#include <numeric>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

std::vector<std::int64_t> many_lengths() {
  std::vector<std::int64_t> lengths;
  std::mt19937_64 random(7);
  for (int i = 0; i < 1003; ++i) lengths.push_back(static_cast<std::int64_t>(5 + random() % 60));
  return lengths;
}

std::int64_t tokens_of(const std::vector<std::int64_t>& batch, const std::vector<std::int64_t>& lengths) {
  std::int64_t sum = 0;
  for (const auto row : batch) sum += lengths[static_cast<std::size_t>(row)];
  return sum;
}

std::int64_t padded_tokens(const Batches& batches, const std::vector<std::int64_t>& lengths) {
  std::int64_t sum = 0;
  for (const auto& batch : batches) {
    std::int64_t longest = 0;
    for (const auto row : batch) longest = std::max(longest, lengths[static_cast<std::size_t>(row)]);
    sum += longest * static_cast<std::int64_t>(batch.size());
  }
  return sum;
}

void expect_every_row_once(const Batches& batches, std::size_t rows) {
  std::multiset<std::int64_t> seen;
  for (const auto& batch : batches) seen.insert(batch.begin(), batch.end());
  ASSERT_EQ(seen.size(), rows);
  std::int64_t next = 0;
  for (const auto row : seen) EXPECT_EQ(row, next++);
}

TEST(Sampler, HoldsEveryRowOnce) {
  const auto lengths = many_lengths();
  for (const Sampler& sampler : {Sampler(InOrder{}), Sampler(Shuffled{}), Sampler(GroupedByLength{.window = 3})}) {
    expect_every_row_once(sampler(lengths, Sequences{32}, 1), lengths.size());
    expect_every_row_once(sampler(lengths, Tokens{512}, 1), lengths.size());
  }
}

TEST(Sampler, FillsEveryBatchButOneBySequences) {
  const auto lengths = many_lengths();
  for (const Sampler& sampler : {Sampler(InOrder{}), Sampler(Shuffled{}), Sampler(GroupedByLength{.window = 3})}) {
    const auto batches = sampler(lengths, Sequences{32}, 1);
    EXPECT_EQ(batches.size(), 32u);  // 1003 rows
    std::size_t short_ones = 0;
    for (const auto& batch : batches) short_ones += batch.size() < 32 ? 1 : 0;
    EXPECT_EQ(short_ones, 1u);
  }
}

TEST(Sampler, StaysWithinTheTokenBudgetAndUsesIt) {
  const auto lengths = many_lengths();
  for (const Sampler& sampler : {Sampler(InOrder{}), Sampler(Shuffled{}), Sampler(GroupedByLength{})}) {
    const auto batches = sampler(lengths, Tokens{512}, 1);
    std::int64_t all = 0;
    for (const auto& batch : batches) {
      EXPECT_LE(tokens_of(batch, lengths), 512);
      all += tokens_of(batch, lengths);
    }
    EXPECT_LT(static_cast<double>(batches.size()) * 512.0, 1.1 * static_cast<double>(all));
  }
}

TEST(Sampler, GivesTheSameBatchesForTheSameSeedOnly) {
  const auto lengths = many_lengths();
  for (const Sampler& sampler : {Sampler(Shuffled{}), Sampler(GroupedByLength{})}) {
    EXPECT_EQ(sampler(lengths, Sequences{32}, 5), sampler(lengths, Sequences{32}, 5));
    EXPECT_NE(sampler(lengths, Sequences{32}, 5), sampler(lengths, Sequences{32}, 6));
  }
}

// mt19937_64 is the same in every standard library; these rows show that nothing else enters.
TEST(Shuffled, OrderIsFixedForAllTime) {
  EXPECT_EQ(Shuffled{}(std::vector<std::int64_t>(8, 1), Sequences{4}, 42), (Batches{{7, 0, 5, 1}, {2, 4, 3, 6}}));
}

TEST(Shuffled, PutsARowAnywhere) {
  const std::vector<std::int64_t> lengths(10, 1);
  std::vector<int> first(10);
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    ++first[static_cast<std::size_t>(Shuffled{}(lengths, Sequences{10}, seed)[0][0])];
  }
  for (const int count : first) EXPECT_NEAR(count, 500, 110);  // five standard deviations
}

TEST(GroupedByLength, PadsLessThanShuffling) {
  const auto lengths = many_lengths();
  const std::int64_t real = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  const auto grouped = padded_tokens(GroupedByLength{}(lengths, Sequences{32}, 1), lengths);
  const auto shuffled = padded_tokens(Shuffled{}(lengths, Sequences{32}, 1), lengths);
  EXPECT_LT(static_cast<double>(grouped), 1.05 * static_cast<double>(real));
  EXPECT_GT(static_cast<double>(shuffled), 1.6 * static_cast<double>(real));
}

TEST(GroupedByLength, MixesLengthsOverTheEpoch) {
  const auto lengths = many_lengths();
  const auto batches = GroupedByLength{}(lengths, Sequences{32}, 1);
  std::int64_t rises = 0;
  for (std::size_t i = 1; i < batches.size(); ++i) {
    rises += tokens_of(batches[i], lengths) > tokens_of(batches[i - 1], lengths) ? 1 : 0;
  }
  EXPECT_GT(rises, 8);
  EXPECT_LT(rises, 24);
}

TEST(Sampler, OfNothingGivesNoBatch) {
  EXPECT_TRUE(InOrder{}({}, Sequences{4}).empty());
  EXPECT_TRUE(Shuffled{}({}, Tokens{4}, 1).empty());
  EXPECT_TRUE(GroupedByLength{}({}, Tokens{4}, 1).empty());
}

TEST(Sampler, NamesTheRowsThatAreLongerThanTheBudget) {
  const std::vector<std::int64_t> lengths = {5, 17, 9, 12};
  EXPECT_EQ(
      error_message([&] { Shuffled{}(lengths, Tokens{10}, 1); }),
      "OptionError: 2 rows are longer than the batch of 10 tokens: 1 (17), 3 (12); raise the budget or cut the rows");
}

TEST(Sampler, RefusesAnEmptyBatch) {
  EXPECT_EQ(error_message([] { InOrder{}({}, Sequences{0}); }),
            "OptionError: the batch size is 0 sequences; it must be at least 1");
  EXPECT_EQ(error_message([] { GroupedByLength{}({}, Tokens{-3}, 1); }),
            "OptionError: the batch size is -3 tokens; it must be at least 1");
  EXPECT_EQ(error_message([] { GroupedByLength{.window = 0}({}, Tokens{3}, 1); }),
            "OptionError: the window is 0 batches; it must be at least 1");
}

TEST(DerivedSeed, DiffersForEveryPart) {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    for (std::uint64_t part = 0; part < 100; ++part) seeds.insert(derived_seed(seed, part));
  }
  EXPECT_EQ(seeds.size(), 10000u);
}

}  // namespace
}  // namespace graft
