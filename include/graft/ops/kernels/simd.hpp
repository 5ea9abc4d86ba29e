#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <c10/util/BFloat16.h>

namespace graft::detail {

/// Which copy of a kernel runs: each is compiled from the same source for another vector width (for_each_simd.inc).
enum class Simd : int { baseline = 0, avx2 = 1, avx512 = 2 };

/// The widest level that this processor has.
inline Simd widest_simd() {
#if defined(__x86_64__)
  static const Simd widest = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      return Simd::avx512;
    }
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? Simd::avx2 : Simd::baseline;
  }();
  return widest;
#else
  return Simd::baseline;
#endif
}

inline std::atomic<int>& chosen_simd() {
  static std::atomic<int> chosen(static_cast<int>(widest_simd()));
  return chosen;
}

/// The level in use: the widest one, unless a SimdScope says otherwise.
inline Simd simd_level() { return static_cast<Simd>(chosen_simd().load(std::memory_order_relaxed)); }

/// Holds all threads to `level`, or to the widest one if the processor lacks `level`, until the end of the scope. For
/// tests and benchmarks.
class SimdScope {
 public:
  explicit SimdScope(Simd level)
      : before_(chosen_simd().exchange(level < widest_simd() ? static_cast<int>(level)
                                                             : static_cast<int>(widest_simd()))) {}
  ~SimdScope() { chosen_simd().store(before_); }
  SimdScope(const SimdScope&) = delete;
  SimdScope& operator=(const SimdScope&) = delete;

 private:
  int before_;
};

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
      switch (::graft::detail::simd_level()) {                   \
        case ::graft::detail::Simd::avx512:                      \
          return ::graft::detail::avx512::function(__VA_ARGS__); \
        case ::graft::detail::Simd::avx2:                        \
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
