#pragma once

#include <cstdint>
#include <numbers>
#include <optional>

#include <torch/types.h>

#include "graft/ops/decoding.hpp"

namespace graft {

/// How Llama 3 stretches the turns of slow pairs, so that a text longer than those of pretraining is still told apart:
/// a pair that turns fewer than `low_freq_factor` times in `original_max_position_embeddings` tokens is slowed by
/// `factor`, one that turns more than `high_freq_factor` times is left alone, and between them the two are mixed.
struct Llama3Stretch {
  double factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;  ///< above low_freq_factor
  std::int64_t original_max_position_embeddings = 8192;
};

/// How fast positions turn the pairs of a head. Source: Su et al., RoFormer, arXiv:2104.09864.
struct RotaryOptions {
  double theta = 10000.0;  ///< pair i of d / 2 turns by theta^(-2 i / d) radians a token
  double factor = 1.0;     ///< all turns are slowed by it ("linear" scaling)
  std::optional<Llama3Stretch> llama3{};

  bool operator==(const RotaryOptions&) const;
};

/// Radians a token for each of the `head_size` / 2 pairs, [d / 2] in float32, rounded step by step as in transformers:
/// at a position of thousands the last bit of a frequency shows.
torch::Tensor rotary_frequencies(std::int64_t head_size, const RotaryOptions& options);

/// Cosines and sines of each token's angles, [T, 1, d / 2], in the type of what they turn.
struct RotaryAngles {
  torch::Tensor cos, sin;
};

/// Angles of `positions` [T] int64, taken in float32.
RotaryAngles rotary_angles(const torch::Tensor& positions, std::int64_t head_size, const RotaryOptions& options,
                           torch::ScalarType type);

/// Turns the pairs (i, i + d / 2) of every head:  x [T, H, d] -> [T, H, d].
torch::Tensor rotate(const torch::Tensor& x, const RotaryAngles& angles);

inline bool RotaryOptions::operator==(const RotaryOptions& other) const {
  if (theta != other.theta || factor != other.factor || llama3.has_value() != other.llama3.has_value()) return false;
  return !llama3 ||
         (llama3->factor == other.llama3->factor && llama3->low_freq_factor == other.llama3->low_freq_factor &&
          llama3->high_freq_factor == other.llama3->high_freq_factor &&
          llama3->original_max_position_embeddings == other.llama3->original_max_position_embeddings);
}

inline torch::Tensor rotary_frequencies(std::int64_t head_size, const RotaryOptions& options) {
  const torch::Tensor exponents = torch::arange(0, head_size, 2, torch::kInt64).to(torch::kFloat32) / head_size;
  torch::Tensor frequencies = 1.0 / torch::pow(options.theta, exponents);
  if (options.factor != 1.0) frequencies = frequencies / options.factor;
  if (!options.llama3) return frequencies;

  const Llama3Stretch& stretch = *options.llama3;
  const auto length = static_cast<double>(stretch.original_max_position_embeddings);
  const torch::Tensor wavelength = 2.0 * std::numbers::pi / frequencies;
  const torch::Tensor slow = wavelength > length / stretch.low_freq_factor;
  const torch::Tensor fast = wavelength < length / stretch.high_freq_factor;
  const torch::Tensor share =
      (length / wavelength - stretch.low_freq_factor) / (stretch.high_freq_factor - stretch.low_freq_factor);
  const torch::Tensor mixed = (1.0 - share) * frequencies / stretch.factor + share * frequencies;
  return torch::where(slow, frequencies / stretch.factor, torch::where(fast, frequencies, mixed));
}

inline RotaryAngles rotary_angles(const torch::Tensor& positions, std::int64_t head_size, const RotaryOptions& options,
                                  torch::ScalarType type) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor turns = rotary_frequencies(head_size, options).to(positions.device());
  const torch::Tensor angles = positions.to(torch::kFloat32).unsqueeze(1) * turns;
  return {angles.cos().unsqueeze(1).to(type), angles.sin().unsqueeze(1).to(type)};
}

inline torch::Tensor rotate(const torch::Tensor& x, const RotaryAngles& angles) {
  return rotate_pairs(x, angles.cos, angles.sin);
}

}  // namespace graft
