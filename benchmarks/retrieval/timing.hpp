#pragma once

// Times, and the memory's speed, as the benchmark of the search measures them.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "graft/retrieval/detail/exact_scan.hpp"

/// The median of `runs`.
template <class Work>
double milliseconds(std::size_t runs, const Work& work) {
  std::vector<double> times(runs);
  for (double& time : times) {
    const auto start = std::chrono::steady_clock::now();
    work();
    time = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(runs / 2), times.end());
  return times[runs / 2];
}

/// Of plain sums over `data` on `threads` threads, each in four streams: what reading it costs.
inline double milliseconds_to_read(const std::vector<float>& data, std::size_t threads) {
  std::vector<double> sums(threads);
  const double time = milliseconds(21, [&] {
    graft::detail::on_threads(threads, [&](std::size_t part) {
      typedef std::uint64_t Two __attribute__((vector_size(16)));
      const std::size_t stream = data.size() / threads / 4 / 4;  // of so many Two
      const char* from = reinterpret_cast<const char*>(data.data()) + part * 4 * stream * sizeof(Two);
      Two sum[4] = {};
      for (std::size_t i = 0; i < stream; ++i)
        for (std::size_t s = 0; s < 4; ++s) {
          Two here;
          std::memcpy(&here, from + (s * stream + i) * sizeof here, sizeof here);
          sum[s] += here;
        }
      sums[part] = static_cast<double>(sum[0][0] + sum[1][1] + sum[2][0] + sum[3][1]);
    });
  });
  return sums[0] == 0.5 ? 0 : time;  // so that the sums are used
}
