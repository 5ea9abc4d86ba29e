#include "graft/retrieval/detail/dot.hpp"

#include <cmath>
#include <limits>

#include "retrieval/support.hpp"

namespace graft::detail {
namespace {

struct Named {
  const char* name;
  DotKernels kernels;
};

/// Every set of kernels that this processor can run.
std::vector<Named> runnable() {
  std::vector<Named> out = {{"plain", dot_plain::kernels()}};
#if defined(__x86_64__)
  if (has_avx2()) out.push_back({"avx2", dot_avx2::kernels()});
  if (has_avx512()) out.push_back({"avx512", dot_avx512::kernels()});
#endif
  return out;
}

TEST(DotKernels, EveryInstructionSetScoresLikeDoublePrecision) {
  for (const std::size_t width : {16, 48, 80, 384}) {
    const auto wide = static_cast<std::int64_t>(width);
    const auto data = test::random_vectors(kPanel + kTileQueries, wide, width);
    std::vector<std::uint16_t> halves(data.size());
    std::vector<float> rounded(data.size());
    for (std::size_t i = 0; i < data.size(); ++i) rounded[i] = from_half(halves[i] = to_half(data[i]));
    const float* rows[kPanel + 4];
    const std::uint16_t* half_rows[kPanel + 4];
    for (std::size_t r = 0; r < kPanel + 4; ++r)
      rows[r] = &data[r % kPanel * width], half_rows[r] = &halves[r % kPanel * width];
    const float* queries = &data[kPanel * width];
    for (const Named& set : runnable())
      for (std::size_t count = 1; count <= kTileQueries; ++count)
        for (const bool euclidean : {false, true})
          for (const bool half : {false, true}) {
            float scores[kTileQueries * kPanel];
            std::uint32_t found[kTileQueries];
            const float least[kTileQueries] = {-1.5f, 0.0f, 2.0f, -1e9f, 1e9f, -0.5f};
            if (half)
              (euclidean ? set.kernels.euclidean_half : set.kernels.inner_half)(queries, count, width, half_rows, width,
                                                                                least, scores, found);
            else
              (euclidean ? set.kernels.euclidean : set.kernels.inner)(queries, count, width, rows, width, least, scores,
                                                                      found);
            for (std::size_t q = 0; q < count; ++q)
              for (std::size_t r = 0; r < kPanel; ++r) {
                const double wanted =
                    test::score(euclidean ? Metric::euclidean : Metric::inner_product, queries + q * width,
                                (half ? rounded : data).data() + r * width, wide);
                EXPECT_NEAR(scores[q * kPanel + r], wanted, 1e-3)
                    << set.name << (half ? " half, width " : ", width ") << width << ", query " << q << ", row " << r;
                EXPECT_EQ((found[q] >> r & 1) != 0, scores[q * kPanel + r] >= least[q]) << set.name;
              }
          }
  }
}

TEST(DotKernels, FourRowsScoreAsTheyDoInAPanel) {
  for (const std::size_t width : {16, 48, 80, 384}) {
    const auto data = test::random_vectors(kPanel + 1, static_cast<std::int64_t>(width), width);
    const float* rows[kPanel + 4];
    for (std::size_t r = 0; r < kPanel + 4; ++r) rows[r] = &data[r % kPanel * width];
    for (const Named& set : runnable())
      for (const bool euclidean : {false, true}) {
        const float least = 0;
        float panel[kPanel], four[4];
        std::uint32_t found;
        (euclidean ? set.kernels.euclidean : set.kernels.inner)(&data[kPanel * width], 1, width, rows, width, &least,
                                                                panel, &found);
        for (std::size_t first = 0; first < kPanel; first += 4) {
          (euclidean ? set.kernels.euclidean_four : set.kernels.inner_four)(&data[kPanel * width], rows + first, width,
                                                                            four);
          for (std::size_t r = 0; r < 4; ++r) EXPECT_EQ(euclidean ? -four[r] : four[r], panel[first + r]) << set.name;
        }
      }
  }
}

TEST(DotKernels, PairsScoreLikeDoublePrecision) {
  for (const std::size_t width : {16, 48, 64, 80, 384}) {
    const auto data = test::random_vectors(2, static_cast<std::int64_t>(width), width);
    for (const Named& set : runnable()) {
      const auto wide = static_cast<std::int64_t>(width);
      EXPECT_NEAR(set.kernels.inner_pair(&data[0], &data[width], width),
                  test::score(Metric::inner_product, &data[0], &data[width], wide), 1e-4)
          << set.name;
      EXPECT_NEAR(set.kernels.euclidean_pair(&data[0], &data[width], width),
                  -test::score(Metric::euclidean, &data[0], &data[width], wide), 1e-3)
          << set.name;
    }
  }
}

TEST(DotKernels, WidenEqualsFromHalfForEveryNumber) {
  std::vector<std::uint16_t> halves(0x10000);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> out(halves.size());
  for (const Named& set : runnable()) {
    set.kernels.widen(halves.data(), halves.size(), out.data());
    for (std::size_t i = 0; i < halves.size(); ++i)
      if (const float wanted = from_half(halves[i]); !std::isnan(wanted)) {
        ASSERT_EQ(out[i], wanted) << set.name << " " << i;
      } else {
        ASSERT_TRUE(std::isnan(out[i])) << set.name << " " << i;
      }
  }
}

TEST(Half, RoundsToNearestTiesToEven) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float here = from_half(static_cast<std::uint16_t>(bits));
    const float next = bits + 1 == 0x7c00 ? 65536.0f : from_half(static_cast<std::uint16_t>(bits + 1));
    const float middle = here + (next - here) / 2;
    ASSERT_EQ(to_half(here), bits);
    ASSERT_EQ(to_half(-here), bits | 0x8000);
    ASSERT_EQ(to_half(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(to_half(std::nextafter(middle, 1e9f)), bits + 1);
    ASSERT_EQ(to_half(middle), bits + (bits & 1));
  }
  EXPECT_EQ(to_half(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(to_half(-1e30f), 0xfc00);
  EXPECT_TRUE(std::isnan(from_half(to_half(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace graft::detail
