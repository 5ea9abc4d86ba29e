#pragma once

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

// What the processor can do at most, measured: independent chains of fused multiply-adds in registers.

namespace peak {

using Lanes = float __attribute__((vector_size(64)));

// Twelve chains cover the latency of two multiply-add units.
__attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512"))) inline float chains(long rounds) {
  Lanes sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = Lanes{} + static_cast<float>(i);
  const Lanes factor = Lanes{} + 0.999F, term = Lanes{} + 0.001F;
  for (long round = 0; round < rounds; ++round) {
    for (int i = 0; i < 12; ++i) sum[i] = sum[i] * factor + term;
  }
  float total = 0.0F;
  for (const Lanes& lanes : sum) total += lanes[0];
  return total;
}

/// GFLOP/s of float32 multiply-adds on this many threads: the best of five runs of a tenth of a second or so.
inline double gflops(int threads) {
  constexpr long rounds = 10'000'000;
  volatile float sink = 0.0F;
  double best = 0.0;
  for (int run = 0; run < 5; ++run) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) workers.emplace_back([&] { sink = chains(rounds); });
    workers.clear();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2e-9 * 12 * 16 * rounds * threads / seconds.count());
  }
  return best;
}

}  // namespace peak
