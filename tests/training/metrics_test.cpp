#include "graft/training/metrics.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

// Expected numbers: tests/reference/metrics.py (scikit-learn 1.9.1, scipy 1.17.1).
constexpr double close = 1e-14;

using Classes = std::vector<std::int64_t>;

const Classes truth = {0, 1, 2, 2, 1, 0, 2, 2, 1, 0, 0, 2, 1, 1, 2, 0, 2, 2, 1, 0};
const Classes predicted = {0, 2, 2, 2, 1, 0, 1, 2, 1, 2, 0, 2, 1, 0, 2, 0, 2, 1, 1, 1};

Classes is_two(const Classes& classes) {
  Classes out;
  for (const auto c : classes) out.push_back(c == 2 ? 1 : 0);
  return out;
}

TEST(ConfusionMatrix, ScoresThreeClassesAsScikitLearn) {
  const ConfusionMatrix matrix(3, truth, predicted);
  EXPECT_NEAR(matrix.accuracy(), 0.7, close);
  EXPECT_NEAR(matrix.macro_precision(), 0.70714285714285718, close);
  EXPECT_NEAR(matrix.macro_recall(), 0.69444444444444431, close);
  EXPECT_NEAR(matrix.macro_f1(), 0.6975524475524475, close);
  EXPECT_NEAR(matrix.matthews(), 0.54753247505713576, close);
}

TEST(ConfusionMatrix, ScoresTwoClassesAsScikitLearn) {
  const ConfusionMatrix matrix(2, is_two(truth), is_two(predicted));
  EXPECT_NEAR(matrix.accuracy(), 0.8, close);
  EXPECT_NEAR(matrix.precision(), 0.75, close);
  EXPECT_NEAR(matrix.recall(), 0.75, close);
  EXPECT_NEAR(matrix.f1(), 0.75, close);
  EXPECT_NEAR(matrix.macro_f1(), 0.79166666666666674, close);
  EXPECT_NEAR(matrix.matthews(), 0.58333333333333337, close);
}

TEST(ConfusionMatrix, LeavesClassesThatNeverOccurOutOfTheMean) {
  const ConfusionMatrix matrix(4, Classes{0, 0, 3, 3}, Classes{0, 3, 3, 3});
  EXPECT_NEAR(matrix.macro_precision(), 0.83333333333333326, close);
  EXPECT_NEAR(matrix.macro_recall(), 0.75, close);
  EXPECT_NEAR(matrix.macro_f1(), 0.73333333333333339, close);
  EXPECT_NEAR(matrix.matthews(), 0.57735026918962584, close);
}

TEST(ConfusionMatrix, KeepsClassesThatAreOnlyPredictedInTheMean) {
  const ConfusionMatrix matrix(2, Classes{0, 0, 0, 0}, Classes{0, 1, 0, 0});
  EXPECT_NEAR(matrix.macro_precision(), 0.5, close);
  EXPECT_NEAR(matrix.macro_recall(), 0.375, close);
  EXPECT_NEAR(matrix.macro_f1(), 0.42857142857142855, close);
  EXPECT_EQ(matrix.matthews(), 0.0);
}

TEST(ConfusionMatrix, AddsUpBatches) {
  ConfusionMatrix whole(3, truth, predicted), parts(3);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    parts.add(std::span(truth).subspan(i, 1), std::span(predicted).subspan(i, 1));
  }
  for (int t = 0; t < 3; ++t) {
    for (int p = 0; p < 3; ++p) EXPECT_EQ(parts.count(t, p), whole.count(t, p));
  }
  EXPECT_EQ(parts.total(), 20);
}

TEST(ConfusionMatrix, IsZeroWithoutPairs) {
  const ConfusionMatrix empty(2);
  EXPECT_EQ(empty.accuracy(), 0.0);
  EXPECT_EQ(empty.f1(), 0.0);
  EXPECT_EQ(empty.macro_f1(), 0.0);
  EXPECT_EQ(empty.matthews(), 0.0);
}

TEST(ConfusionMatrix, RefusesAClassOutOfRangeAndCountsNothing) {
  ConfusionMatrix matrix(2);
  EXPECT_EQ(error_message([&] {
              matrix.add(Classes{0, 1}, Classes{0, 2});
            }),
            "OptionError: row 1 has class 2; classes go from 0 to 1");
  EXPECT_EQ(error_message([&] {
              matrix.add(Classes{0}, Classes{0, 1});
            }),
            "ShapeError: 1 true classes against 2 predicted ones");
  EXPECT_EQ(error_message([&] { matrix.precision(2); }), "OptionError: class 2; classes go from 0 to 1");
  EXPECT_EQ(matrix.total(), 0);
  EXPECT_EQ(error_message([] { ConfusionMatrix one(1); }),
            "OptionError: a confusion matrix of 1 classes; there must be at least 2");
}

const std::vector<double> a = {1.5, 2.0, 2.0, 3.25, -1.0, 0.0, 7.5, 2.0, 4.0, -3.5};
const std::vector<double> b = {0.5, 1.0, 2.5, 2.5, -2.0, 1.0, 5.0, 0.0, 3.0, 1.0};

TEST(Pearson, EqualsScipy) { EXPECT_NEAR(pearson(a, b), 0.75098638234793869, close); }

TEST(Pearson, StaysAccurateFarFromZero) {
  std::vector<double> far;
  for (const double value : a) far.push_back(value + 1e8);
  EXPECT_NEAR(pearson(far, b), 0.75098638234793869, 1e-8);
}

TEST(Pearson, IsNotANumberWhereItIsNotDefined) {
  EXPECT_TRUE(std::isnan(pearson(std::vector<double>{1, 1, 1}, std::vector<double>{1, 2, 3})));
  EXPECT_TRUE(std::isnan(pearson(std::vector<double>{1}, std::vector<double>{2})));
  EXPECT_TRUE(std::isnan(pearson({}, {})));
}

TEST(Spearman, SharesRanksOfEqualValuesAsScipy) { EXPECT_NEAR(spearman(a, b), 0.74143661959034979, close); }

TEST(Spearman, IsOneForAnyRisingRelation) {
  std::vector<double> exponential;
  for (const double value : a) exponential.push_back(std::exp(value));
  EXPECT_NEAR(spearman(a, exponential), 1.0, close);
}

TEST(Spearman, PassesANumberThatIsNoneOn) {
  EXPECT_TRUE(std::isnan(spearman(std::vector<double>{1, NAN, 3}, std::vector<double>{1, 2, 3})));
}

TEST(Correlation, NamesBothLengthsWhenTheyDiffer) {
  EXPECT_EQ(error_message([] { pearson(a, std::vector<double>{1.0}); }),
            "ShapeError: a correlation of 10 values with 1");
}

}  // namespace
}  // namespace graft
