#pragma once

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

// What the processor can do at most, measured: independent chains of fused multiply-adds in registers.

namespace peak {

// Twelve chains cover the latency of two multiply-add units, and with the two operands fit in sixteen registers.
template <class Lanes>
[[gnu::always_inline]] inline float chains(long rounds) {
  Lanes sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = Lanes{} + static_cast<float>(i);
  const Lanes factor = Lanes{} + 0.999F, term = Lanes{} + 0.001F;
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sum[i] = sum[i] * factor + term;
  }
  float total = 0.0F;
  for (const Lanes& lanes : sum) total += lanes[0];
  return total;
}

using Eight = float __attribute__((vector_size(32)));
using Sixteen = float __attribute__((vector_size(64)));
[[gnu::target("avx2,fma")]] inline float chains_of_eight(long rounds) { return chains<Eight>(rounds); }
[[gnu::target("avx512f")]] inline float chains_of_sixteen(long rounds) { return chains<Sixteen>(rounds); }

/// GFLOP/s of float32 multiply-adds on this many threads: the best of five runs of a tenth of a second or so. 0 on a
/// processor without AVX2.
inline double gflops(int threads) {
  constexpr long rounds = 20'000'000;
  __builtin_cpu_init();
  const bool wide = __builtin_cpu_supports("avx512f");
  if (!wide && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return 0.0;
  volatile float sink = 0.0F;
  double best = 0.0;
  for (int run = 0; run < 5; ++run) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i)
      workers.emplace_back([&] { sink = wide ? chains_of_sixteen(rounds) : chains_of_eight(rounds); });
    workers.clear();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2e-9 * 12 * (wide ? 16 : 8) * rounds * threads / seconds.count());
  }
  return best;
}

}  // namespace peak
