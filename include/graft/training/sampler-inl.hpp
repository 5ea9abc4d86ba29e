#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/training/sampler.hpp"

namespace graft {

namespace detail {

/// A number in [0, bound) without bias. std::uniform_int_distribution differs between standard libraries.
GRAFT_INLINE std::uint64_t draw_below(std::mt19937_64& random, std::uint64_t bound) {
  const std::uint64_t remainder = (std::numeric_limits<std::uint64_t>::max() % bound + 1) % bound;
  for (;;) {
    const std::uint64_t value = random();
    if (value <= std::numeric_limits<std::uint64_t>::max() - remainder) return value % bound;
  }
}

template <class T>
void shuffle(std::span<T> items, std::mt19937_64& random) {
  for (std::size_t left = items.size(); left > 1; --left) std::swap(items[left - 1], items[draw_below(random, left)]);
}

GRAFT_INLINE std::vector<std::int64_t> row_numbers(std::size_t count) {
  std::vector<std::int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

GRAFT_INLINE void check_batch_size(std::span<const std::int64_t> lengths, const BatchSize& size) {
  const bool by_tokens = std::holds_alternative<Tokens>(size);
  const std::int64_t count = by_tokens ? std::get<Tokens>(size).count : std::get<Sequences>(size).count;
  if (count < 1) {
    throw OptionError(
        message("the batch size is ", count, by_tokens ? " tokens" : " sequences", "; it must be at least 1"));
  }
  if (!by_tokens || lengths.empty() || *std::max_element(lengths.begin(), lengths.end()) <= count) return;
  std::string rows;
  std::int64_t too_long = 0;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    if (lengths[row] <= count) continue;
    if (++too_long <= 10) rows += message(rows.empty() ? "" : ", ", row, " (", lengths[row], ")");
  }
  throw OptionError(message(too_long, " rows are longer than the batch of ", count, " tokens: ", rows,
                            too_long > 10 ? ", ..." : "", "; raise the budget or cut the rows"));
}

/// Cuts `rows` where the next one would not fit.
GRAFT_INLINE Batches cut(std::span<const std::int64_t> rows, std::span<const std::int64_t> lengths,
                         const BatchSize& size) {
  Batches batches;
  std::int64_t tokens = 0;
  for (const std::int64_t row : rows) {
    const std::int64_t length = lengths[static_cast<std::size_t>(row)];
    const bool fits =
        !batches.empty() && (std::holds_alternative<Tokens>(size)
                                 ? length <= std::get<Tokens>(size).count - tokens
                                 : static_cast<std::int64_t>(batches.back().size()) < std::get<Sequences>(size).count);
    if (!fits) {
      batches.emplace_back();
      tokens = 0;
    }
    batches.back().push_back(row);
    tokens += length;
  }
  return batches;
}

}  // namespace detail

GRAFT_INLINE std::uint64_t derived_seed(std::uint64_t seed, std::uint64_t part) {
  // Two rounds of splitmix64's output function: Steele, Lea and Flood, 2014.
  const auto mix = [](std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  };
  return mix(mix(seed) ^ part);
}

GRAFT_INLINE Batches InOrder::operator()(std::span<const std::int64_t> lengths, const BatchSize& size,
                                         std::uint64_t) const {
  detail::check_batch_size(lengths, size);
  return detail::cut(detail::row_numbers(lengths.size()), lengths, size);
}

GRAFT_INLINE Batches Shuffled::operator()(std::span<const std::int64_t> lengths, const BatchSize& size,
                                          std::uint64_t seed) const {
  detail::check_batch_size(lengths, size);
  auto rows = detail::row_numbers(lengths.size());
  std::mt19937_64 random(seed);
  detail::shuffle(std::span(rows), random);
  return detail::cut(rows, lengths, size);
}

GRAFT_INLINE Batches GroupedByLength::operator()(std::span<const std::int64_t> lengths, const BatchSize& size,
                                                 std::uint64_t seed) const {
  if (window < 1) throw OptionError(message("the window is ", window, " batches; it must be at least 1"));
  detail::check_batch_size(lengths, size);
  auto rows = detail::row_numbers(lengths.size());
  std::mt19937_64 random(seed);
  detail::shuffle(std::span(rows), random);

  const Batches even = detail::cut(rows, lengths, size);
  Batches batches;
  const auto step = static_cast<std::size_t>(window);
  for (std::size_t first = 0; first < even.size(); first += std::min(step, even.size() - first)) {
    std::vector<std::int64_t> near;
    for (std::size_t i = first; i < even.size() && i - first < step; ++i) {
      near.insert(near.end(), even[i].begin(), even[i].end());
    }
    std::stable_sort(near.begin(), near.end(), [&](std::int64_t a, std::int64_t b) {
      return lengths[static_cast<std::size_t>(a)] > lengths[static_cast<std::size_t>(b)];
    });
    for (auto& batch : detail::cut(near, lengths, size)) batches.push_back(std::move(batch));
  }
  detail::shuffle(std::span(batches), random);
  return batches;
}

}  // namespace graft
