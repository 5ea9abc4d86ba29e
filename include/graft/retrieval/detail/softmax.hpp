#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "graft/retrieval/detail/dot.hpp"

namespace graft::detail {

/// Scores lie in panels, as DotKernels write them: those of question q with row p * kPanel + r are at
/// p * step + q * kPanel + r. Rows and sums are `stride` floats apart, a multiple of kRowStep.
struct SoftmaxKernels {
  /// The largest score of the question that `scores` points to, in `panels` panels.
  float (*largest)(const float* scores, std::size_t step, std::size_t panels);

  /// Replaces the scores of that question, none above `most`, by e^(score - most). Gives their sum.
  float (*exponentials)(float* scores, std::size_t step, std::size_t panels, float most);

  /// Adds to the sums of each question its rows, each times its weight: weights lie as scores do.
  void (*add_rows)(const float* weights, std::size_t step, std::size_t panels, std::size_t queries, const float* rows,
                   std::size_t stride, float* sums);
};

namespace dot_plain {

inline Vector all(float a) { return Vector{a, a, a, a}; }
inline Vector larger(Vector a, Vector b) {
  for (std::size_t i = 0; i < kLanes; ++i) a[i] = a[i] > b[i] ? a[i] : b[i];
  return a;
}
inline Vector times_power(Vector a, Vector b) {
  std::uint32_t value[kLanes], power[kLanes];
  std::memcpy(value, &a, sizeof a);
  std::memcpy(power, &b, sizeof b);
  for (std::size_t i = 0; i < kLanes; ++i) value[i] += power[i] << 23;
  std::memcpy(&a, value, sizeof a);
  return a;
}

#define GRAFT_TARGET
#include "graft/retrieval/detail/softmax_kernel.inc"
#undef GRAFT_TARGET

}  // namespace dot_plain

#if defined(__x86_64__)

namespace dot_avx2 {

#define GRAFT_TARGET __attribute__((target("avx2,fma,f16c")))

GRAFT_TARGET inline Vector all(float a) { return _mm256_set1_ps(a); }
GRAFT_TARGET inline Vector larger(Vector a, Vector b) { return _mm256_max_ps(a, b); }
GRAFT_TARGET inline Vector times_power(Vector a, Vector b) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(b), 23)));
}

#include "graft/retrieval/detail/softmax_kernel.inc"
#undef GRAFT_TARGET

}  // namespace dot_avx2

namespace dot_avx512 {

#define GRAFT_TARGET __attribute__((target("avx512f,avx2,fma,f16c")))

GRAFT_TARGET inline Vector all(float a) { return _mm512_set1_ps(a); }
GRAFT_TARGET inline Vector larger(Vector a, Vector b) { return _mm512_maskz_max_ps(0xffff, a, b); }
GRAFT_TARGET inline Vector times_power(Vector a, Vector b) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(a), _mm512_maskz_slli_epi32(0xffff, _mm512_castps_si512(b), 23)));
}

#include "graft/retrieval/detail/softmax_kernel.inc"
#undef GRAFT_TARGET

}  // namespace dot_avx512

#endif

/// The widest kernels this processor runs, as dot_kernels() chooses them.
inline const SoftmaxKernels& softmax_kernels() {
  static const SoftmaxKernels chosen = [] {
#if defined(__x86_64__)
    if (has_avx512()) return dot_avx512::softmax_kernels();
    if (has_avx2()) return dot_avx2::softmax_kernels();
#endif
    return dot_plain::softmax_kernels();
  }();
  return chosen;
}

}  // namespace graft::detail
