#pragma once

#include <algorithm>
#include <exception>
#include <limits>
#include <thread>

#include "graft/retrieval/detail/top_k.hpp"
#include "graft/retrieval/detail/vectors.hpp"

namespace graft {

namespace detail {

inline PanelKernel<float> panel_kernel(Metric metric, const float*) {
  return metric == Metric::euclidean ? dot_kernels().euclidean : dot_kernels().inner;
}
inline PanelKernel<std::uint16_t> panel_kernel(Metric metric, const std::uint16_t*) {
  return metric == Metric::euclidean ? dot_kernels().euclidean_half : dot_kernels().inner_half;
}

inline constexpr std::size_t kQueryBlock = 128;  // queries that stay in the second-level cache while the rows pass by
inline constexpr std::size_t kAhead = 4096;      // bytes ahead of the rows being scored that are asked for

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

}  // namespace detail

inline ExactIndex::ExactIndex(VectorSpace space, ExactOptions options)
    : space_(std::move(space)), options_(options), stride_(0) {
  check_space(space_);
  stride_ = detail::padded_width(space_.width);
}

inline ExactIndex::~ExactIndex() = default;
inline ExactIndex::ExactIndex(ExactIndex&&) noexcept = default;
inline ExactIndex& ExactIndex::operator=(ExactIndex&&) noexcept = default;

inline void ExactIndex::add(std::span<const PassageId> ids, std::span<const float> vectors) {
  check_vectors(space_, ids.size(), vectors, "vector");
  detail::check_new_ids(*this, ids);
  if (ids.size() > std::numeric_limits<std::uint32_t>::max() - size())
    throw OptionError("an exact index holds at most 4294967295 vectors");
  const auto width = static_cast<std::size_t>(space_.width);
  const bool halves = options_.storage == VectorStorage::float16;
  std::vector<float> row(stride_);
  const std::size_t before = size();
  try {
    // Grown first, so that nothing below can fail for want of memory but the map.
    if (halves)
      halves_.resize((before + ids.size()) * stride_);
    else
      floats_.resize((before + ids.size()) * stride_);
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    rows_.reserve(before + ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      detail::copy_scaled(space_.metric, vectors.subspan(i * width, width), row.data());
      const std::size_t to = (before + i) * stride_;
      if (halves)
        std::transform(row.begin(), row.end(), halves_.begin() + static_cast<std::ptrdiff_t>(to), detail::to_half);
      else
        std::copy(row.begin(), row.end(), floats_.begin() + static_cast<std::ptrdiff_t>(to));
      rows_.emplace(ids[i], static_cast<std::uint32_t>(before + i));
    }
  } catch (...) {
    for (const PassageId id : ids) rows_.erase(id);
    ids_.resize(before);
    (halves ? halves_.resize(before * stride_) : floats_.resize(before * stride_));
    throw;
  }
}

inline void ExactIndex::remove(std::span<const PassageId> ids) {
  const auto move_row = [&](auto& data, std::size_t from, std::size_t to) {
    if (data.empty()) return;
    const auto start = data.begin() + static_cast<std::ptrdiff_t>(from * stride_);
    std::copy(start, start + static_cast<std::ptrdiff_t>(stride_),
              data.begin() + static_cast<std::ptrdiff_t>(to * stride_));
    data.resize(from * stride_);
  };
  for (const PassageId id : ids) {
    const auto found = rows_.find(id);
    if (found == rows_.end()) continue;
    const std::size_t hole = found->second;
    const std::size_t last = size() - 1;
    move_row(floats_, last, hole);
    move_row(halves_, last, hole);
    ids_[hole] = ids_[last];
    rows_[ids_[hole]] = static_cast<std::uint32_t>(hole);
    ids_.pop_back();
    rows_.erase(id);
  }
}

inline std::vector<std::vector<Scored>> ExactIndex::search(std::span<const float> queries, std::size_t k,
                                                           const std::vector<PassageId>* allowed) const {
  const std::size_t count = queries.size() / static_cast<std::size_t>(space_.width);
  check_vectors(space_, count, queries, "query");
  std::vector<std::uint32_t> rows;
  if (allowed) {
    for (const PassageId id : *allowed)
      if (const auto found = rows_.find(id); found != rows_.end()) rows.push_back(found->second);
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  }
  std::vector<std::vector<Scored>> out(count);
  if (options_.storage == VectorStorage::float16)
    search_rows(halves_, queries, k, allowed ? &rows : nullptr, out);
  else
    search_rows(floats_, queries, k, allowed ? &rows : nullptr, out);
  return out;
}

template <class Row>
void ExactIndex::search_rows(const std::vector<Row>& data, std::span<const float> queries, std::size_t k,
                             const std::vector<std::uint32_t>* rows, std::vector<std::vector<Scored>>& out) const {
  const std::size_t total = rows ? rows->size() : size();
  k = std::min(k, total);
  if (k == 0) return;
  const std::vector<float> padded = detail::padded_queries(space_, queries);
  const detail::ExactScan<Row> scan{data.data(), ids_.data(), rows ? rows->data() : nullptr, stride_, space_.metric};
  const std::size_t parts = detail::useful_threads(options_.threads, total * stride_ * out.size());
  const std::size_t share = (total / parts / detail::kPanel + 1) * detail::kPanel;
  std::vector<std::vector<detail::TopK>> tops(parts, std::vector<detail::TopK>(out.size(), detail::TopK(k)));
  detail::on_threads(parts, [&](std::size_t part) {
    const std::size_t begin = std::min(part * share, total);
    scan(padded.data(), out.size(), begin, std::min(begin + share, total), tops[part].data());
  });
  for (std::size_t q = 0; q < out.size(); ++q) {
    for (std::size_t part = 1; part < parts; ++part) tops[0][q].push(tops[part][q]);
    out[q] = std::move(tops[0][q]).sorted();
  }
}

}  // namespace graft
