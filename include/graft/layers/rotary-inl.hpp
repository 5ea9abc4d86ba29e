#pragma once

#include <numbers>

#include <torch/types.h>

#include "graft/layers/rotary.hpp"

namespace graft {

GRAFT_INLINE torch::Tensor rotary_frequencies(std::int64_t head_size, const RotaryOptions& options) {
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

GRAFT_INLINE RotaryAngles rotary_angles(const torch::Tensor& positions, std::int64_t head_size,
                                        const RotaryOptions& options, c10::ScalarType type) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor turns = rotary_frequencies(head_size, options).to(positions.device());
  const torch::Tensor angles = positions.to(torch::kFloat32).unsqueeze(1) * turns;
  return {angles.cos().unsqueeze(1).to(type), angles.sin().unsqueeze(1).to(type)};
}

}  // namespace graft
