#pragma once

#include <atomic>

namespace graft {

/// Which copy of graft's kernels runs: all are compiled from one source, each for another width of vectors.
enum class Simd : int {
  baseline = 0,  ///< 16 bytes: SSE2 on x86, whatever the processor has elsewhere
  avx2 = 1,      ///< 32 bytes: AVX2 and FMA
  avx512 = 2,    ///< 64 bytes: AVX-512 F, BW, DQ and VL
};

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

namespace detail {

inline std::atomic<int>& chosen_simd() {
  static std::atomic<int> chosen(static_cast<int>(widest_simd()));
  return chosen;
}

}  // namespace detail

/// The level in use: the widest one, unless a SimdScope says otherwise.
inline Simd simd_level() { return static_cast<Simd>(detail::chosen_simd().load(std::memory_order_relaxed)); }

/// Holds all threads to `level`, or to the widest one if the processor lacks `level`, until the end of the scope: for
/// tests and benchmarks. Scopes nest; results of different levels differ in rounding. Not while kernels run.
class SimdScope {
 public:
  explicit SimdScope(Simd level)
      : before_(detail::chosen_simd().exchange(level < widest_simd() ? static_cast<int>(level)
                                                                     : static_cast<int>(widest_simd()))) {}
  ~SimdScope() { detail::chosen_simd().store(before_); }
  SimdScope(const SimdScope&) = delete;
  SimdScope& operator=(const SimdScope&) = delete;

 private:
  int before_;
};

}  // namespace graft
