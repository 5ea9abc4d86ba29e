#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "graft/core/error.hpp"

namespace graft {

/// A batch of this many sequences.
struct Sequences {
  std::int64_t count = 0;
};

/// A batch of at most this many tokens, counted as packed: the sum of the true lengths.
struct Tokens {
  std::int64_t count = 0;
};

using BatchSize = std::variant<Sequences, Tokens>;

/// Row numbers, batch by batch. Together the batches of an epoch hold every row once.
using Batches = std::vector<std::vector<std::int64_t>>;

/// Cuts rows of the given lengths (tokens) into the batches of one epoch. The same arguments give the same batches,
/// with any compiler: an epoch's order depends on its seed alone, never on how many numbers were drawn before. Any
/// callable of this form is a sampler.
using Sampler =
    std::function<Batches(std::span<const std::int64_t> lengths, const BatchSize& size, std::uint64_t seed)>;

/// A seed for part `part` of what is seeded with `seed`: neighbours give unrelated seeds.
std::uint64_t derived_seed(std::uint64_t seed, std::uint64_t part);

/// Rows in their order: for evaluation. The seed is ignored.
///
/// Like every sampler here it throws OptionError if the batch size is below 1, or if rows are longer than a token
/// budget (all of them are named).
struct InOrder {
  Batches operator()(std::span<const std::int64_t> lengths, const BatchSize& size, std::uint64_t seed = 0) const;
};

/// Rows in random order: every batch is a fair draw.
struct Shuffled {
  Batches operator()(std::span<const std::int64_t> lengths, const BatchSize& size, std::uint64_t seed) const;
};

/// Rows of like length together, in random order: what a padded batch needs to be small.
/// Rows are shuffled, each window of `window` batches is sorted by length and cut, and the batches are shuffled again.
struct GroupedByLength {
  std::int64_t window = 50;  ///< batches a window holds, >= 1: more is more even, less is more random

  Batches operator()(std::span<const std::int64_t> lengths, const BatchSize& size, std::uint64_t seed) const;
};

namespace detail {

/// A number in [0, bound) without bias. std::uniform_int_distribution differs between standard libraries.
inline std::uint64_t draw_below(std::mt19937_64& random, std::uint64_t bound) {
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

inline std::vector<std::int64_t> row_numbers(std::size_t count) {
  std::vector<std::int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

inline void check_batch_size(std::span<const std::int64_t> lengths, const BatchSize& size) {
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
inline Batches cut(std::span<const std::int64_t> rows, std::span<const std::int64_t> lengths, const BatchSize& size) {
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

inline std::uint64_t derived_seed(std::uint64_t seed, std::uint64_t part) {
  // Two rounds of splitmix64's output function: Steele, Lea and Flood, 2014.
  const auto mix = [](std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  };
  return mix(mix(seed) ^ part);
}

inline Batches InOrder::operator()(std::span<const std::int64_t> lengths, const BatchSize& size, std::uint64_t) const {
  detail::check_batch_size(lengths, size);
  return detail::cut(detail::row_numbers(lengths.size()), lengths, size);
}

inline Batches Shuffled::operator()(std::span<const std::int64_t> lengths, const BatchSize& size,
                                    std::uint64_t seed) const {
  detail::check_batch_size(lengths, size);
  auto rows = detail::row_numbers(lengths.size());
  std::mt19937_64 random(seed);
  detail::shuffle(std::span(rows), random);
  return detail::cut(rows, lengths, size);
}

inline Batches GroupedByLength::operator()(std::span<const std::int64_t> lengths, const BatchSize& size,
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
