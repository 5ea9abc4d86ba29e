#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "graft/retrieval/detail/padded_vectors.hpp"
#include "graft/retrieval/detail/top_k.hpp"

namespace graft::detail {

inline PanelKernel<float> panel_kernel(Metric metric, const float*) {
  return metric == Metric::euclidean ? dot_kernels().euclidean : dot_kernels().inner;
}
inline PanelKernel<std::uint16_t> panel_kernel(Metric metric, const std::uint16_t*) {
  return metric == Metric::euclidean ? dot_kernels().euclidean_half : dot_kernels().inner_half;
}

inline constexpr std::size_t kQueryBlock = 128;  // queries that stay in the second-level cache while the rows pass by

/// Asks memory for the rows of a panel, in parts: while many queries are scored with the panel before, a few lines at a
/// time. All at once would only queue up, and the processor does not foresee sixteen rows by itself.
template <class Row>
struct PanelAhead {
  const Row* const* rows;
  std::size_t stride;
  std::size_t row = 0, at = 0;

  void ask(std::size_t lines) {
    for (; lines > 0 && row < kPanel; --lines) {
      __builtin_prefetch(rows[row] + at);
      at += 64 / sizeof(Row);
      if (at >= stride) at = 0, ++row;
    }
  }
};

/// Everything one thread needs to score a range of rows.
template <class Row>
struct ExactScan {
  const Row* data;
  const PassageId* ids;
  const std::uint32_t* rows;  // null: row i is i
  std::size_t stride;
  Metric metric;

  /// How many rows a thread takes at a time: 256 kB, which stay in the second-level cache for the next block of
  /// queries, and let a thread that has a core to itself do more than one that shares it.
  std::size_t rows_together() const {
    return std::max<std::size_t>(1, (256 << 10) / (stride * sizeof(Row) * kPanel)) * kPanel;
  }

  /// Scores rows [begin, end) with `count` padded queries into tops[0 ... count).
  void operator()(const float* queries, std::size_t count, std::size_t begin, std::size_t end, TopK* tops) const {
    for (std::size_t block = 0; block < count; block += kQueryBlock)
      scan(queries + block * stride, std::min(kQueryBlock, count - block), begin, end, tops + block);
  }

 private:
  std::size_t row(std::size_t i) const { return rows ? rows[i] : i; }

  /// Rows that are scored together and those after them; past the end the last row stands for those that are missing.
  void fill(const Row** panel, std::size_t first, std::size_t end) const {
    for (std::size_t r = 0; r < 2 * kPanel; ++r) panel[r] = data + row(std::min(first + r, end - 1)) * stride;
  }

  void scan(const float* queries, std::size_t count, std::size_t begin, std::size_t end, TopK* tops) const {
    if (begin == end) return;
    LineVector<float> wide;  // a panel of float16 rows as float32, worth it from the second tile of queries on
    const bool widened = sizeof(Row) == 2 && count > static_cast<std::size_t>(kTileQueries);
    if (widened) wide.resize(kPanel * stride);
    const Row* panel[2 * kPanel];
    for (std::size_t first = begin; first < end; first += kPanel) {
      const std::size_t here = std::min<std::size_t>(kPanel, end - first);
      const std::uint32_t real = here == kPanel ? 0xffffu : (1u << here) - 1;
      fill(panel, first, end);
      if (widened) {
        const float* wide_panel[kPanel + 4];
        for (std::size_t r = 0; r < kPanel + 4; ++r) wide_panel[r] = wide.data() + r % kPanel * stride;
        if constexpr (sizeof(Row) == 2)
          for (std::size_t r = 0; r < kPanel; ++r) dot_kernels().widen(panel[r], stride, wide.data() + r * stride);
        score(panel_kernel(metric, wide.data()), wide_panel, panel + kPanel, queries, count, first, real, tops);
      } else {
        score(panel_kernel(metric, data), panel, panel + kPanel, queries, count, first, real, tops);
      }
    }
  }

  template <class Any>
  void score(PanelKernel<Any> kernel, const Any* const* panel, const Row* const* next, const float* queries,
             std::size_t count, std::size_t first, std::uint32_t real, TopK* tops) const {
    const std::size_t tiles = (count + kTileQueries - 1) / kTileQueries;
    const std::size_t lines = tiles < 4 ? 0 : (stride * sizeof(Row) / 64 * kPanel + tiles - 1) / tiles;
    PanelAhead<Row> ahead{next, stride};
    for (std::size_t q = 0; q < count; q += kTileQueries) {
      const std::size_t together = std::min<std::size_t>(kTileQueries, count - q);
      ahead.ask(lines);
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
