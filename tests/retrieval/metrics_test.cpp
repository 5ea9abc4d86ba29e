#include "graft/retrieval/metrics.hpp"

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "retrieval/support.hpp"
#include "support/python.hpp"

namespace graft {
namespace {

using test::expect_error;

TEST(RankingQuality, EqualsTrecEval) {
  const TemporaryDirectory directory;
  run_python("retrieval_metrics.py", {directory / "metrics.json"});
  const Json queries = read_json(directory / "metrics.json");
  ASSERT_EQ(queries.size(), 60u);
  for (const Json& query : queries)
    for (const auto& [k, scores] : query["scores"].items()) {
      const auto ranking = query["ranking"].get<std::vector<std::string>>();
      const auto judged = query["judged"].get<Judgements>();
      const RankingQuality quality = ranking_quality(ranking, judged, std::stoul(k));
      EXPECT_NEAR(quality.recall, scores[0].get<double>(), 1e-9);
      EXPECT_NEAR(quality.precision, scores[1].get<double>(), 1e-9);
      EXPECT_NEAR(quality.hit_rate, scores[2].get<double>(), 1e-9);
      EXPECT_NEAR(quality.ndcg, scores[3].get<double>(), 1e-9);
      EXPECT_NEAR(quality.map, scores[4].get<double>(), 1e-9);
      EXPECT_NEAR(quality.mrr, query["mrr"][k].get<double>(), 1e-9);
    }
}

TEST(RankingQuality, OfAShortRankingByHand) {
  const std::vector<std::string> ranking = {"x", "a", "b"};
  const RankingQuality quality = ranking_quality(ranking, {{"a", 1}, {"b", 3}, {"c", 1}, {"x", 0}, {"y", -1}}, 3);
  EXPECT_DOUBLE_EQ(quality.recall, 2.0 / 3);
  EXPECT_DOUBLE_EQ(quality.precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(quality.hit_rate, 1);
  EXPECT_DOUBLE_EQ(quality.mrr, 0.5);
  EXPECT_DOUBLE_EQ(quality.map, (1.0 / 2 + 2.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(quality.ndcg, (1 / std::log2(3.0) + 3 / 2.0) / (3 + 1 / std::log2(3.0) + 1 / 2.0));
  EXPECT_DOUBLE_EQ(ranking_quality({}, {{"a", 1}}, 3).ndcg, 0);
}

TEST(RankingQuality, RefusesWhatCannotBeJudged) {
  const std::vector<std::string> twice = {"a", "b", "a"};
  expect_error<OptionError>([&] { ranking_quality(twice, {{"a", 1}}, 2); }, "a ranking holds \"a\" twice");
  expect_error<OptionError>([] { ranking_quality({}, {{"a", 1}}, 0); }, "k is 0");
  expect_error<OptionError>([] { ranking_quality({}, {{"a", 0}}, 1); }, "nothing relevant");
}

TEST(RankingReport, MeansOverJudgedQueriesAlone) {
  RankingReport report(2);
  report.add(std::vector<std::string>{"a"}, {{"a", 1}});
  report.add(std::vector<std::string>{"x"}, {{"a", 1}});
  report.add(std::vector<std::string>{"x"}, {{"a", 0}});
  EXPECT_EQ(report.judged(), 2u);
  EXPECT_EQ(report.unjudged(), 1u);
  EXPECT_DOUBLE_EQ(report.mean().recall, 0.5);
  EXPECT_DOUBLE_EQ(report.mean().precision, 0.25);
  EXPECT_EQ(report.mrr(), (std::vector<double>{1, 0}));
  EXPECT_DOUBLE_EQ(RankingReport(3).mean().ndcg, 0);
  expect_error<OptionError>([] { RankingReport(0); }, "k is 0");
}

TEST(Bootstrap, IntervalHasTheWidthThatTheoryGives) {
  std::vector<double> values(400);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 4 == 0;
  const Estimate estimate = bootstrap(values);
  EXPECT_DOUBLE_EQ(estimate.mean, 0.25);
  const double error = 1.96 * std::sqrt(0.25 * 0.75 / 400);  // normal approximation of the binomial
  EXPECT_NEAR(estimate.low, 0.25 - error, 0.005);
  EXPECT_NEAR(estimate.high, 0.25 + error, 0.005);
  EXPECT_EQ(bootstrap(values).low, estimate.low);
  const std::vector<double> uneven = {0.1, 0.7, 0.31, 0.97, 0.44};
  EXPECT_NE(bootstrap(uneven, 100, 2).low, bootstrap(uneven, 100, 1).low);
  const Estimate one = bootstrap(std::vector<double>{0.5}, 1);
  EXPECT_EQ(one.low, 0.5);
  EXPECT_EQ(one.high, 0.5);
  expect_error<OptionError>([] { bootstrap({}); }, "no values");
  expect_error<OptionError>([&] { bootstrap(values, 0); }, "at least 1 bootstrap sample");
}

TEST(Compare, TellsARealDifferenceFromChance) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> noise;
  std::vector<double> a(200), better(200), same(200);
  for (std::size_t i = 0; i < 200; ++i) {
    a[i] = noise(random);
    better[i] = a[i] + 0.5 + noise(random);
    same[i] = a[i] + noise(random);
  }
  const Comparison real = compare(a, better);
  EXPECT_LT(real.p_value, 0.01);
  EXPECT_GT(real.difference.low, 0);
  EXPECT_GT(real.wins, real.losses);
  EXPECT_EQ(real.wins + real.losses + real.ties, 200u);
  // Under the null hypothesis p is uniform: one draw with a fixed seed is far from small.
  EXPECT_GT(compare(a, same).p_value, 0.05);
  const Comparison equal = compare(a, a);
  EXPECT_EQ(equal.p_value, 1);
  EXPECT_EQ(equal.ties, 200u);
  expect_error<ShapeError>([&] { compare(a, std::vector<double>(3)); }, "one has 200 values and the other 3");
}

}  // namespace
}  // namespace graft
