#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

// What memory gives at most, measured: sums over more than any cache holds.

namespace bandwidth {

using Lanes = std::uint64_t __attribute__((vector_size(32)));

[[gnu::target_clones("default", "avx2", "avx512f")]] inline std::uint64_t sum(const Lanes* data, std::size_t count) {
  Lanes sums[8] = {};
  for (std::size_t i = 0; i + 8 <= count; i += 8)
    for (std::size_t j = 0; j < 8; ++j) sums[j] += data[i + j];
  Lanes total = {};
  for (const Lanes& lanes : sums) total += lanes;
  return total[0] + total[1] + total[2] + total[3];
}

/// 10^9 bytes a second that this many threads read together: the best of ten passes over 256 MiB.
inline double gigabytes_per_second(int threads) {
  const std::size_t count = (std::size_t{256} << 20) / sizeof(Lanes), part = count / static_cast<std::size_t>(threads);
  const std::vector<Lanes> data(count, Lanes{} + 1);
  volatile std::uint64_t sink = 0;
  double best = 0.0;
  for (int run = 0; run < 10; ++run) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i)
      workers.emplace_back([&, i] { sink = sum(data.data() + static_cast<std::size_t>(i) * part, part); });
    workers.clear();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 1e-9 * static_cast<double>(part * sizeof(Lanes)) * threads / seconds.count());
  }
  return best;
}

}  // namespace bandwidth
