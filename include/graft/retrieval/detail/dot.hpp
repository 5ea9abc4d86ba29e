#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace graft::detail {

inline constexpr int kPanel = 16;       ///< rows scored together: 16 x 384 floats fill three quarters of a 32 kB cache
inline constexpr int kTileQueries = 6;  ///< scored with a panel in one call
inline constexpr std::size_t kRowStep = 16;  ///< rows are padded with zeros to a multiple of this many numbers

/// `queries` (1 to kTileQueries) queries, `stride` floats apart, with 16 rows of `width` numbers, a multiple of
/// kRowStep. Writes scores[q * kPanel + r], and into found[q] the bits r whose score is at least least[q]. `rows` has
/// kPanel + 4 entries: under one query the next 4 rows are asked of memory while 4 are scored, and the last 4 come
/// after the panel.
template <class Row>
using PanelKernel = void (*)(const float* query, std::size_t queries, std::size_t stride, const Row* const* rows,
                             std::size_t width, const float* least, float* scores, std::uint32_t* found);

/// Scores by inner product or by minus the squared distance, of rows in float32 or float16 (as its 16 bits).
struct DotKernels {
  PanelKernel<float> inner;
  PanelKernel<float> euclidean;
  PanelKernel<std::uint16_t> inner_half;
  PanelKernel<std::uint16_t> euclidean_half;
  void (*inner_four)(const float* query, const float* const* rows, std::size_t width, float* scores);      ///< 4 rows
  void (*euclidean_four)(const float* query, const float* const* rows, std::size_t width, float* scores);  ///< squared
  float (*inner_pair)(const float* a, const float* b, std::size_t width);      ///< width: a multiple of kRowStep
  float (*euclidean_pair)(const float* a, const float* b, std::size_t width);  ///< the squared distance itself
  void (*widen)(const std::uint16_t* from, std::size_t count, float* to);      ///< count: a multiple of kRowStep
};

/// The nearest float16, ties to even, as its bits; beyond 65504 infinity.
inline std::uint16_t to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return sign | 0x7e00u;
  if (size >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and more
  if (size < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, found by an addition that rounds there
    const float rounded = std::bit_cast<float>(size) + 0.5f;
    return sign | static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(rounded) - 0x3f000000u);
  }
  const std::uint32_t even = (size >> 13) & 1u;
  return sign | static_cast<std::uint16_t>((size + 0xfffu + even - 0x38000000u) >> 13);
}

/// The value of a float16.
inline float from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t size = half & 0x7fffu;
  if (size >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (size & 0x3ffu) << 13);
  if (size < 0x400u) {
    const float value = static_cast<float>(size) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((size << 13) + 0x38000000u));
}

namespace dot_plain {

inline constexpr std::size_t kLanes = 4;
inline constexpr int kTogether = 3;                     // 12 sums, 4 rows and a query: 17 registers, one from memory
typedef float Vector __attribute__((vector_size(16)));  // what every processor's compiler target has in some form

inline Vector zero() { return Vector{0, 0, 0, 0}; }
inline Vector load(const float* from) {
  Vector out;
  std::memcpy(&out, from, sizeof out);
  return out;
}
inline Vector load(const std::uint16_t* from) {
  return Vector{from_half(from[0]), from_half(from[1]), from_half(from[2]), from_half(from[3])};
}
inline void store(float* to, Vector a) { std::memcpy(to, &a, sizeof a); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
inline Vector subtract(Vector a, Vector b) { return a - b; }
inline void keep(Vector&) {}
inline float sum(Vector a) { return (a[0] + a[1]) + (a[2] + a[3]); }
inline void store_sums(float* to, Vector a, Vector b, Vector c, Vector d) {
  to[0] = sum(a);
  to[1] = sum(b);
  to[2] = sum(c);
  to[3] = sum(d);
}
inline std::uint32_t mask_at_least(const float* scores, float least) {
  std::uint32_t found = 0;
  for (int r = 0; r < kPanel; ++r) found |= static_cast<std::uint32_t>(scores[r] >= least) << r;
  return found;
}

#define GRAFT_TARGET
#include "graft/retrieval/detail/dot_kernel.inc"
#undef GRAFT_TARGET

}  // namespace dot_plain

#if defined(__x86_64__)

namespace dot_avx2 {

#define GRAFT_TARGET __attribute__((target("avx2,fma,f16c")))

inline constexpr std::size_t kLanes = 8;
inline constexpr int kTogether = 3;
using Vector = __m256;

GRAFT_TARGET inline Vector zero() { return _mm256_setzero_ps(); }
GRAFT_TARGET inline Vector load(const float* from) { return _mm256_loadu_ps(from); }
GRAFT_TARGET inline Vector load(const std::uint16_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
GRAFT_TARGET inline void store(float* to, Vector a) { _mm256_storeu_ps(to, a); }
GRAFT_TARGET inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
GRAFT_TARGET inline Vector subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
GRAFT_TARGET inline void keep(Vector&) {}  // too few registers
GRAFT_TARGET inline void store_sums(float* to, Vector a, Vector b, Vector c, Vector d) {
  const Vector halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
}
GRAFT_TARGET inline std::uint32_t mask_at_least(const float* scores, float least) {
  const Vector bound = _mm256_set1_ps(least);
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(load(scores), bound, _CMP_GE_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(load(scores + 8), bound, _CMP_GE_OQ));
  return static_cast<std::uint32_t>(low | high << 8);
}

#include "graft/retrieval/detail/dot_kernel.inc"
#undef GRAFT_TARGET

}  // namespace dot_avx2

namespace dot_avx512 {

#define GRAFT_TARGET __attribute__((target("avx512f,avx2,fma,f16c")))

inline constexpr std::size_t kLanes = 16;
inline constexpr int kTogether = 6;  // 24 sums, 4 rows and a query of 32 registers
using Vector = __m512;

GRAFT_TARGET inline Vector zero() { return _mm512_setzero_ps(); }
GRAFT_TARGET inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
GRAFT_TARGET inline Vector load(const std::uint16_t* from) {
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
GRAFT_TARGET inline void store(float* to, Vector a) { _mm512_storeu_ps(to, a); }
GRAFT_TARGET inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
GRAFT_TARGET inline Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
GRAFT_TARGET inline void keep(Vector& a) { asm("" : "+v"(a)); }
/// In each quarter of 4 lanes: the sums of its 4 lanes of a, b, c and d. The masked forms, here and below, since of the
/// others GCC 12 warns falsely.
GRAFT_TARGET inline Vector quarters(Vector a, Vector b, Vector c, Vector d) {
  const Vector ab = _mm512_add_ps(_mm512_maskz_unpacklo_ps(0xffff, a, b), _mm512_maskz_unpackhi_ps(0xffff, a, b));
  const Vector cd = _mm512_add_ps(_mm512_maskz_unpacklo_ps(0xffff, c, d), _mm512_maskz_unpackhi_ps(0xffff, c, d));
  return _mm512_add_ps(_mm512_maskz_shuffle_ps(0xffff, ab, cd, 0x44), _mm512_maskz_shuffle_ps(0xffff, ab, cd, 0xee));
}
GRAFT_TARGET inline void store_sums(float* to, Vector a, Vector b, Vector c, Vector d) {
  const __m512d four = _mm512_castps_pd(quarters(a, b, c, d));
  const __m256 two = _mm256_add_ps(_mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xff, four, 0)),
                                   _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xff, four, 1)));
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps(two, 1)));
}
GRAFT_TARGET inline std::uint32_t mask_at_least(const float* scores, float least) {
  return _mm512_cmp_ps_mask(load(scores), _mm512_set1_ps(least), _CMP_GE_OQ);
}

#include "graft/retrieval/detail/dot_kernel.inc"
#undef GRAFT_TARGET

}  // namespace dot_avx512

inline bool has_avx2() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1u);
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
inline bool has_avx512() { return has_avx2() && __builtin_cpu_supports("avx512f"); }

#endif

/// The widest kernels this processor runs, whatever flags the program was compiled with.
inline const DotKernels& dot_kernels() {
  static const DotKernels chosen = [] {
#if defined(__x86_64__)
    if (has_avx512()) return dot_avx512::kernels();
    if (has_avx2()) return dot_avx2::kernels();
#endif
    return dot_plain::kernels();
  }();
  return chosen;
}

}  // namespace graft::detail
