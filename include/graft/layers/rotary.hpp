#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// How Llama 3 stretches the turns of slow pairs, so that a text longer than those of pretraining is still told apart:
/// a pair that turns fewer than `low_freq_factor` times in `original_max_position_embeddings` tokens is slowed by
/// `factor`, one that turns more than `high_freq_factor` times is left alone, and between them the two are mixed.
struct Llama3Stretch {
  double factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;  ///< above low_freq_factor
  std::int64_t original_max_position_embeddings = 8192;

  bool operator==(const Llama3Stretch&) const = default;
};

/// How fast positions turn the pairs of a head. Source: Su et al., RoFormer, arXiv:2104.09864.
struct RotaryOptions {
  double theta = 10000.0;  ///< pair i of d / 2 turns by theta^(-2 i / d) radians a token
  double factor = 1.0;     ///< all turns are slowed by it ("linear" scaling)
  std::optional<Llama3Stretch> llama3{};

  bool operator==(const RotaryOptions&) const = default;
};

/// Radians a token for each of the `head_size` / 2 pairs, [d / 2] in float32, rounded step by step as in transformers:
/// at a position of thousands the last bit of a frequency shows.
at::Tensor rotary_frequencies(std::int64_t head_size, const RotaryOptions& options);

/// Cosines and sines of each token's angles, [T, 1, d / 2], in the type of what rotate_pairs() turns by them.
struct RotaryAngles {
  at::Tensor cos, sin;
};

/// Angles of `positions` [T] int64, taken in float32.
RotaryAngles rotary_angles(const at::Tensor& positions, std::int64_t head_size, const RotaryOptions& options,
                           c10::ScalarType type);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/rotary-inl.hpp"
#endif
