#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "graft/retrieval/detail/top_k.hpp"
#include "graft/retrieval/detail/vectors.hpp"

namespace graft::detail {

inline PanelKernel<float> panel_kernel(Metric metric, const float*) {
  return metric == Metric::euclidean ? dot_kernels().euclidean : dot_kernels().inner;
}
inline PanelKernel<std::uint16_t> panel_kernel(Metric metric, const std::uint16_t*) {
  return metric == Metric::euclidean ? dot_kernels().euclidean_half : dot_kernels().inner_half;
}

inline constexpr std::size_t kQueryBlock = 128;  // queries that stay in the second-level cache while the rows pass by

/// Everything one thread needs to score a range of rows.
template <class Row>
struct ExactScan {
  const Row* data;
  const PassageId* ids;
  const std::uint32_t* rows;  // null: row i is i
  std::size_t stride;
  Metric metric;

  /// Scores rows [begin, end) with `count` padded queries into tops[0 ... count).
  void operator()(const float* queries, std::size_t count, std::size_t begin, std::size_t end, TopK* tops) const {
    for (std::size_t block = 0; block < count; block += kQueryBlock)
      scan(queries + block * stride, std::min(kQueryBlock, count - block), begin, end, tops + block);
  }

 private:
  std::size_t row(std::size_t i) const { return rows ? rows[i] : i; }

  void scan(const float* queries, std::size_t count, std::size_t begin, std::size_t end, TopK* tops) const {
    std::vector<float> wide;  // a panel of float16 rows as float32, worth it from the second tile of queries on
    const bool widened = sizeof(Row) == 2 && count > static_cast<std::size_t>(kTileQueries);
    if (widened) wide.resize(kPanel * stride);
    for (std::size_t first = begin; first < end; first += kPanel) {
      const std::size_t here = std::min<std::size_t>(kPanel, end - first);
      const Row* panel[kPanel];
      for (std::size_t r = 0; r < kPanel; ++r) panel[r] = data + row(first + std::min(r, here - 1)) * stride;
      const std::uint32_t real = here == kPanel ? 0xffffu : (1u << here) - 1;
      if (widened) {
        const float* wide_panel[kPanel];
        for (std::size_t r = 0; r < kPanel; ++r) {
          wide_panel[r] = wide.data() + r * stride;
          if constexpr (sizeof(Row) == 2) dot_kernels().widen(panel[r], stride, wide.data() + r * stride);
        }
        score(panel_kernel(metric, wide.data()), wide_panel, queries, count, first, real, tops);
      } else {
        score(panel_kernel(metric, data), panel, queries, count, first, real, tops);
      }
    }
  }

  template <class Any>
  void score(PanelKernel<Any> kernel, const Any* const* panel, const float* queries, std::size_t count,
             std::size_t first, std::uint32_t real, TopK* tops) const {
    for (std::size_t q = 0; q < count; q += kTileQueries) {
      const std::size_t together = std::min<std::size_t>(kTileQueries, count - q);
      float least[kTileQueries], scores[kTileQueries * kPanel];
      std::uint32_t found[kTileQueries];
      for (std::size_t t = 0; t < together; ++t) least[t] = tops[q + t].least();
      kernel(queries + q * stride, together, stride, panel, stride, least, scores, found);
      for (std::size_t t = 0; t < together; ++t)
        for (std::uint32_t left = found[t] & real; left != 0; left &= left - 1) {
          const auto r = static_cast<std::size_t>(std::countr_zero(left));
          tops[q + t].push({ids[row(first + r)], scores[t * kPanel + r]});
        }
    }
  }
};

/// Runs work(part) for part = 0 ... parts - 1, each on a thread of its own, the last on the caller's.
template <class Work>
void on_threads(std::size_t parts, const Work& work) {
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(parts);
  const auto run = [&](std::size_t part) {
    try {
      work(part);
    } catch (...) {
      errors[part] = std::current_exception();
    }
  };
  for (std::size_t part = 0; part + 1 < parts; ++part) threads.emplace_back(run, part);
  run(parts - 1);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

/// How many threads to give `work` multiplications: below a quarter million one, since starting another costs as much.
inline std::size_t useful_threads(unsigned wanted, std::size_t work) {
  const std::size_t most = wanted ? wanted : std::max(1u, std::thread::hardware_concurrency());
  return std::clamp<std::size_t>(work >> 18, 1, most);
}

}  // namespace graft::detail
