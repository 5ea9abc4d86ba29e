#include "graft/retrieval/detail/softmax.hpp"

#include <algorithm>
#include <cmath>

#include "graft/retrieval/detail/softmax_scan.hpp"
#include "retrieval/support.hpp"

namespace graft::detail::softmax_test {
namespace {

struct Named {
  const char* name;
  SoftmaxKernels kernels;
};

/// Every set of kernels that this processor can run.
std::vector<Named> runnable() {
  std::vector<Named> out = {{"plain", dot_plain::softmax_kernels()}};
#if defined(__x86_64__)
  if (has_avx2()) out.push_back({"avx2", dot_avx2::softmax_kernels()});
  if (has_avx512()) out.push_back({"avx512", dot_avx512::softmax_kernels()});
#endif
  return out;
}

TEST(SoftmaxKernels, ExponentialsAreRightOverTheirWholeRange) {
  for (const Named& set : runnable())
    for (const std::size_t panels : {1, 3}) {
      constexpr std::size_t kQuestions = 2, kStep = kQuestions * kPanel;
      std::vector<float> scores(panels * kStep, 5.0f);  // the other question's stay as they are
      double sum = 0, largest = -1e9;
      std::vector<double> wanted;
      for (std::size_t p = 0; p < panels; ++p)
        for (std::size_t r = 0; r < kPanel; ++r) {
          const float score = -static_cast<float>(p * kPanel + r) * 1.83f - 0.4f;
          scores[p * kStep + kPanel + r] = score;
          largest = std::max(largest, static_cast<double>(score));
        }
      EXPECT_EQ(set.kernels.largest(scores.data() + kPanel, kStep, panels), static_cast<float>(largest)) << set.name;
      for (std::size_t p = 0; p < panels; ++p)
        for (std::size_t r = 0; r < kPanel; ++r) {
          wanted.push_back(std::exp(scores[p * kStep + kPanel + r] - static_cast<double>(static_cast<float>(largest))));
          sum += wanted.back();
        }
      const float total = set.kernels.exponentials(scores.data() + kPanel, kStep, panels, static_cast<float>(largest));
      EXPECT_NEAR(total / sum, 1, 1e-6) << set.name;
      for (std::size_t p = 0; p < panels; ++p)
        for (std::size_t r = 0; r < kPanel; ++r) {
          const double e = wanted[p * kPanel + r];
          // 2e-7 of the function, and what a float's last digit of x makes of it.
          if (e > 1e-37) {
            EXPECT_NEAR(scores[p * kStep + kPanel + r] / e, 1, 1e-5) << set.name << ", row " << p * kPanel + r;
          }
          EXPECT_EQ(scores[p * kStep + r], 5.0f) << set.name;
        }
      std::vector<float> edges(kPanel, -INFINITY);
      edges[3] = 0, edges[4] = -200, edges[5] = -87;
      EXPECT_NEAR(set.kernels.exponentials(edges.data(), kPanel, 1, 0), 1, 1e-6) << set.name;
      EXPECT_EQ(edges[3], 1.0f) << set.name;
      for (const int i : {0, 4, 5}) EXPECT_LT(edges[i], 2e-38f) << set.name;
    }
}

TEST(SoftmaxKernels, RowsAreAddedLikeInDoublePrecision) {
  for (const std::size_t stride : {16, 48, 80, 384})
    for (const std::size_t questions : {1, 2, 5, 7, 20})
      for (const Named& set : runnable()) {
        constexpr std::size_t kPanels = 2;
        const auto rows = test::random_vectors(kPanels * kPanel, static_cast<std::int64_t>(stride), 1);
        const auto weights = test::random_vectors(kPanels * questions, kPanel, 2);
        const auto before = test::random_vectors(questions, static_cast<std::int64_t>(stride), 3);
        std::vector<float> sums = before;
        set.kernels.add_rows(weights.data(), questions * kPanel, kPanels, questions, rows.data(), stride, sums.data());
        for (std::size_t q = 0; q < questions; ++q)
          for (std::size_t i = 0; i < stride; ++i) {
            double wanted = before[q * stride + i];
            for (std::size_t row = 0; row < kPanels * kPanel; ++row)
              wanted += static_cast<double>(weights[row / kPanel * questions * kPanel + q * kPanel + row % kPanel]) *
                        rows[row * stride + i];
            ASSERT_NEAR(sums[q * stride + i], wanted, 1e-4) << set.name << ", stride " << stride;
          }
      }
}

// Logits that rise from row to row, far apart: the largest so far changes in every block and part.
TEST(SoftmaxScan, JoinsPartsWhateverTheirLargestLogitAndTheNumberOfThreads) {
  constexpr std::size_t kCount = 2500, kStride = 16;
  LineVector<float> data(padded_rows(kCount) * kStride, 0.0f), questions(2 * kStride, 0.0f);
  for (std::size_t row = 0; row < kCount; ++row) {
    data[row * kStride] = static_cast<float>(row) / 7;
    data[row * kStride + 1] = static_cast<float>(row % 5);
  }
  questions[0] = 1, questions[kStride] = -1, questions[kStride + 1] = 0.5f;
  std::vector<std::uint32_t> some = {0, 1, 2, 63, 64, 2499}, block(2048);
  for (std::uint32_t i = 0; i < block.size(); ++i) block[i] = i;  // two whole parts
  for (const auto& masked : {some, block}) {
    const std::vector<std::span<const std::uint32_t>> both = {masked, masked};
    std::vector<SoftmaxSums> one, three;
    const SoftmaxRows rows{data.data(), kCount, kStride};
    softmax_sums(rows, questions, both, 1, one);
    softmax_sums(rows, questions, both, 3, three);
    EXPECT_EQ(one[0].rows, three[0].rows);
    EXPECT_EQ(one[0].total, three[0].total);
    for (std::size_t q = 0; q < 2; ++q) {
      double most = -1e30, total = 0, first = 0;
      const auto logit = [&](std::size_t row) {
        return q == 0 ? data[row * kStride] : -data[row * kStride] + 0.5 * data[row * kStride + 1];
      };
      const auto is_masked = [&](std::size_t row) { return std::binary_search(masked.begin(), masked.end(), row); };
      for (std::size_t row = 0; row < kCount; ++row)
        if (!is_masked(row)) most = std::max(most, logit(row));
      for (std::size_t row = 0; row < kCount; ++row) {
        if (is_masked(row)) continue;
        total += std::exp(logit(row) - most);
        first += std::exp(logit(row) - most) * data[row * kStride];
      }
      EXPECT_NEAR(one[0].most[q], most, 1e-4);
      EXPECT_NEAR(one[0].total[q] / total, 1, 1e-4);
      EXPECT_NEAR(one[0].rows[q * kStride] / first, 1, 1e-4);
    }
  }
}

}  // namespace
}  // namespace graft::detail::softmax_test
