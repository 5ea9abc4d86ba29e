#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "graft/retrieval/detail/exact_scan.hpp"
#include "graft/retrieval/exact.hpp"

namespace graft {

GRAFT_INLINE ExactIndex::ExactIndex(VectorSpace space, ExactOptions options)
    : space_(std::move(space)), options_(options), stride_(0) {
  check_space(space_);
  stride_ = detail::padded_width(space_.width);
}

GRAFT_INLINE ExactIndex::~ExactIndex() = default;
GRAFT_INLINE ExactIndex::ExactIndex(ExactIndex&&) noexcept = default;
GRAFT_INLINE ExactIndex& ExactIndex::operator=(ExactIndex&&) noexcept = default;

GRAFT_INLINE void ExactIndex::add(std::span<const PassageId> ids, std::span<const float> vectors) {
  check_vectors(space_, ids.size(), vectors, "vector");
  check_new_ids(*this, ids);
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

GRAFT_INLINE void ExactIndex::remove(std::span<const PassageId> ids) {
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

GRAFT_INLINE std::vector<std::vector<Scored>> ExactIndex::search(std::span<const float> queries, std::size_t k,
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
void ExactIndex::search_rows(const detail::LineVector<Row>& data, std::span<const float> queries, std::size_t k,
                             const std::vector<std::uint32_t>* rows, std::vector<std::vector<Scored>>& out) const {
  const std::size_t total = rows ? rows->size() : size();
  k = std::min(k, total);
  if (k == 0) return;
  const detail::LineVector<float> padded = detail::padded_queries(space_, queries);
  const detail::ExactScan<Row> scan{data.data(), ids_.data(), rows ? rows->data() : nullptr, stride_, space_.metric};
  const std::size_t parts = detail::useful_threads(options_.threads, total * stride_ * out.size());
  std::vector<std::vector<detail::TopK>> tops(parts, std::vector<detail::TopK>(out.size(), detail::TopK(k)));
  const std::size_t share = scan.rows_together();
  std::atomic<std::size_t> next = 0;
  detail::on_threads(parts, [&](std::size_t part) {
    for (std::size_t begin = share * next++; begin < total; begin = share * next++)
      scan(padded.data(), out.size(), begin, std::min(begin + share, total), tops[part].data());
  });
  for (std::size_t q = 0; q < out.size(); ++q) {
    for (std::size_t part = 1; part < parts; ++part) tops[0][q].push(tops[part][q]);
    out[q] = std::move(tops[0][q]).sorted();
  }
}

}  // namespace graft
