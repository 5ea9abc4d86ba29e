#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <variant>
#include <vector>

#include "graft/core/mode.hpp"

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

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/sampler-inl.hpp"
#endif
