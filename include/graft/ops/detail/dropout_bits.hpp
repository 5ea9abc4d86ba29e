#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <mutex>

#include <ATen/CPUGeneratorImpl.h>

#include "graft/core/error.hpp"

namespace graft::detail {

/// What decides which elements are dropped: the chance, to a 65536th, and the key of the random bits.
struct DropoutBits {
  std::uint32_t threshold = 0;  ///< of 65536: the chance that an element is dropped
  std::uint64_t key = 0;

  bool active() const { return threshold > 0; }
  /// 1 / the chance that an element is kept.
  double keep_scale() const { return 65536.0 / (65536.0 - threshold); }
};

/// Throws OptionError unless 0 <= chance < 1.
inline void check_dropout(double chance) {
  if (!(chance >= 0.0 && chance < 1.0)) {
    throw OptionError(message("dropout is ", chance, "; choose a chance from 0 up to, but not, 1"));
  }
}

/// Draws the key from LibTorch's default CPU generator, which torch::manual_seed() sets; draws nothing for chance 0.
inline DropoutBits draw_dropout(double chance) {
  check_dropout(chance);
  DropoutBits bits{std::min(static_cast<std::uint32_t>(std::lround(chance * 65536.0)), 65535u), 0};
  if (bits.active()) {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard lock(generator.mutex());
    bits.key = at::get_generator_or_default<at::CPUGeneratorImpl>(std::nullopt, generator)->random64();
  }
  return bits;
}

}  // namespace graft::detail
