#include "graft/training/ranking_loss.hpp"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/training/similarity_loss.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

torch::Tensor random(std::int64_t rows, std::int64_t width, std::uint64_t seed) {
  torch::manual_seed(seed);
  return torch::randn({rows, width}, torch::kDouble);
}

/// The loss of one question against all that is left, written out.
double written_out(const torch::Tensor& question, const torch::Tensor& vectors, std::int64_t right,
                   const std::vector<bool>& is_rival, double scale, bool cosine) {
  const auto score = [&](std::int64_t row) {
    torch::Tensor q = question, v = vectors[row];
    if (cosine) q = q / q.norm(), v = v / v.norm();
    return scale * q.dot(v).item<double>();
  };
  double sum = std::exp(score(right));
  for (std::int64_t row = 0; row < vectors.size(0); ++row)
    if (row != right && is_rival[static_cast<std::size_t>(row)]) sum += std::exp(score(row));
  return std::log(sum) - score(right);
}

TEST(InBatchSoftmax, LeavesOutWhatIsNoRival) {
  const torch::Tensor questions = random(3, 5, 1), answers = random(4, 5, 2);
  torch::Tensor not_rivals = torch::zeros({3, 4}, torch::kBool);
  not_rivals[0][2] = true;
  not_rivals[2][3] = true;
  const Loss loss = in_batch_softmax(questions, answers, not_rivals, {.scale = 3});
  const double expected = written_out(questions[0], answers, 0, {true, true, false, true}, 3, true) +
                          written_out(questions[1], answers, 1, {true, true, true, true}, 3, true) +
                          written_out(questions[2], answers, 2, {true, true, true, false}, 3, true);
  EXPECT_NEAR(loss.sum.item<double>(), expected, 1e-12);
  EXPECT_EQ(loss.count, 3.0);
}

TEST(InBatchSoftmax, RefusesWhatDoesNotFit) {
  const torch::Tensor two = random(2, 3, 1), three = random(3, 3, 2), wide = random(2, 4, 3);
  EXPECT_EQ(error_message([&] { in_batch_softmax(three, two); }),
            "ShapeError: there are 2 answers for 3 questions; the first of them answer one each");
  EXPECT_EQ(error_message([&] { in_batch_softmax(two, wide); }),
            "ShapeError: vectors [N, D] and [M, D] are compared, got [2, 3] and [2, 4]");
  EXPECT_EQ(error_message([&] {
              in_batch_softmax(two, three, torch::zeros({2, 2}, torch::kBool));
            }),
            "ShapeError: not_rivals is [2, 2] of Bool; it must be [2, 3] of Bool");
  EXPECT_EQ(error_message([&] {
              in_batch_softmax(two, two, torch::ones({2, 2}, torch::kBool));
            }),
            "OptionError: not_rivals leaves out the right answer of a question; (i, i) must be false");
  EXPECT_EQ(error_message([&] { in_batch_softmax(two, two, {}, {.scale = 0}); }),
            "OptionError: scale is 0; it must be above 0 and finite, such as 20");
}

class StoredSoftmaxTwin : public testing::TestWithParam<Similarity> {};

TEST_P(StoredSoftmaxTwin, IsTheSoftmaxOverAllThatIsStoredInAnyBlocks) {
  const bool cosine = GetParam() == Similarity::cosine;
  torch::Tensor stored = random(11, 6, 4);
  stored[7] = stored[2] * 1.5 + 0.01;  // nearly the same direction
  const torch::Tensor documents = torch::tensor({0, 1, 2, 3, 3, 5, 6, 7, 8, 9, 10}, torch::kLong);
  torch::Tensor left_out = torch::zeros({11}, torch::kBool);
  left_out[9] = true;
  const torch::Tensor right = torch::tensor({2, 3, 10}, torch::kLong), values = random(3, 6, 5);
  const double scale = cosine ? 20 : 0.7;
  std::vector<std::vector<bool>> rivals(3, std::vector<bool>(11, true));
  for (auto& of : rivals) of[9] = false;
  rivals[0][7] = false;  // too near
  rivals[1][4] = false;  // of one document
  double expected = 0;
  for (std::int64_t q = 0; q < 3; ++q)
    expected += written_out(values[q], stored, right[q].item<std::int64_t>(), rivals[static_cast<std::size_t>(q)],
                            scale, cosine);

  // The twin of the gradient: in_batch_softmax with the same rivals.
  torch::Tensor twin = values.clone().requires_grad_();
  torch::Tensor none = torch::ones({3, 14}, torch::kBool);
  for (std::int64_t q = 0; q < 3; ++q) {
    none[q][q] = false;
    for (std::int64_t row = 0; row < 11; ++row)
      if (row != right[q].item<std::int64_t>() && rivals[static_cast<std::size_t>(q)][static_cast<std::size_t>(row)])
        none[q][3 + row] = false;
  }
  const Loss plain = in_batch_softmax(twin, torch::cat({stored.index_select(0, right), stored}), none,
                                      {.scale = scale, .similarity = GetParam()});
  EXPECT_NEAR(plain.sum.item<double>(), expected, 1e-11);
  (plain.sum * 2).backward();

  for (const std::int64_t block : {1, 4, 11, 4096}) {
    torch::Tensor questions = values.clone().requires_grad_();
    const StoredSoftmax softmax(stored, {.scale = scale, .similarity = GetParam(), .block = block}, documents,
                                left_out);
    const Loss loss = softmax(questions, right);
    EXPECT_NEAR(loss.sum.item<double>(), expected, 1e-11) << block;
    EXPECT_EQ(loss.count, 3.0);
    (loss.sum * 2).backward();
    EXPECT_LT((questions.grad() - twin.grad()).abs().max().item<double>(), 1e-11) << block;
  }
}

INSTANTIATE_TEST_SUITE_P(, StoredSoftmaxTwin, testing::Values(Similarity::cosine, Similarity::dot));

TEST(StoredSoftmax, OfAQuestionWithoutRivalsIsZero) {
  const torch::Tensor stored = random(3, 4, 1);
  const StoredSoftmax softmax(stored, {}, torch::zeros({3}, torch::kLong));
  torch::Tensor question = random(1, 4, 2).requires_grad_();
  const Loss loss = softmax(question, torch::tensor({1}, torch::kLong));
  EXPECT_NEAR(loss.sum.item<double>(), 0, 1e-12);
  loss.sum.backward();
  EXPECT_LT(question.grad().abs().max().item<double>(), 1e-12);
}

TEST(StoredSoftmax, RefusesWhatDoesNotFit) {
  const torch::Tensor stored = random(3, 4, 1), question = random(1, 4, 2);
  const auto right = [](std::int64_t row) { return torch::tensor({row}, torch::kLong); };
  const StoredSoftmax softmax(stored);
  EXPECT_EQ(error_message([&] { softmax(question, right(3)); }),
            "OptionError: a right vector is none of the 3 that are stored");
  EXPECT_EQ(error_message([&] { softmax(random(1, 5, 1), right(0)); }),
            "ShapeError: questions [N, 4] have right vectors [N], got [1, 5] and [1]");
  EXPECT_EQ(error_message([&] { StoredSoftmax(stored, {.block = 0}); }),
            "OptionError: block is 0; a block needs vectors, such as 4096");
  EXPECT_EQ(error_message([&] { StoredSoftmax(stored, {}, torch::zeros({2}, torch::kLong)); }),
            "ShapeError: there are 3 stored vectors, and what is said of each has the shape [2]");
}

TEST(SimilarityLosses, RefuseWhatDoesNotFit) {
  const torch::Tensor two = random(2, 3, 1), three = random(3, 3, 2);
  EXPECT_EQ(error_message([&] { cosent_loss(two, three, torch::zeros({2})); }),
            "ShapeError: vectors [N, D] are compared row by row, got [2, 3] and [3, 3]");
  EXPECT_EQ(error_message([&] { cosine_loss(two, two, torch::zeros({3})); }),
            "ShapeError: there are 2 rows, and what is wanted of them has the shape [3]");
  EXPECT_EQ(error_message([&] { triplet_loss(two, two, two, -1); }), "OptionError: margin is -1; it must be 0 or more");
  const auto first = [](std::span<const torch::Tensor> cut) { return in_batch_softmax(cut[0], cut[1]); };
  EXPECT_EQ(error_message([&] {
              matryoshka_loss(std::vector{two, two}, std::vector<MatryoshkaWidth>{{4}}, first);
            }),
            "OptionError: width 4 is none of vectors [2, 3]");
  EXPECT_EQ(error_message([&] {
              matryoshka_loss(std::vector{two, two}, {}, first);
            }),
            "OptionError: a matryoshka loss has no widths; give some, such as 128, 256 and 384");
}

}  // namespace
}  // namespace graft
