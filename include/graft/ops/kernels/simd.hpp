#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <c10/util/BFloat16.h>

#include "graft/ops/simd.hpp"

namespace graft::detail {

/// The type that kernels compute in for a tensor's element type.
template <class T>
struct Compute {
  using type = T;
};
template <>
struct Compute<c10::BFloat16> {
  using type = float;
};
template <class T>
using compute_t = typename Compute<T>::type;

}  // namespace graft::detail

#define GRAFT_ALWAYS_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define GRAFT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GRAFT_UNROLL _Pragma("GCC unroll 16")
#endif

/// Calls the copy of a kernel that the level in use asks for: GRAFT_SIMD_CALL(float, softmax_rows<float>, rows, n). The
/// first argument is the type of the elements: float64, which is here for tests and not for speed, always takes the
/// narrowest copy, which saves users a third of the time to compile.
#if defined(__x86_64__)
#define GRAFT_SIMD_CALL(type, function, ...)                     \
  [&] {                                                          \
    if constexpr (!std::is_same_v<type, double>) {               \
      switch (::graft::simd_level()) {                           \
        case ::graft::Simd::avx512:                              \
          return ::graft::detail::avx512::function(__VA_ARGS__); \
        case ::graft::Simd::avx2:                                \
          return ::graft::detail::avx2::function(__VA_ARGS__);   \
        default:                                                 \
          break;                                                 \
      }                                                          \
    }                                                            \
    return ::graft::detail::baseline::function(__VA_ARGS__);     \
  }()
#else
#define GRAFT_SIMD_CALL(type, function, ...) ::graft::detail::baseline::function(__VA_ARGS__)
#endif
