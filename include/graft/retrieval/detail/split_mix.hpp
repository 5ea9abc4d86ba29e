#pragma once

#include <cstddef>
#include <cstdint>

namespace graft::detail {

/// Uniform numbers, the same on every platform: splitmix64 (Steele et al., 2014).
class SplitMix {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// 0 ... count - 1, count < 2^32; the bias is below count / 2^64.
  std::size_t below(std::size_t count) {
    return static_cast<std::size_t>((static_cast<unsigned __int128>(next()) * count) >> 64);
  }

 private:
  std::uint64_t state_;
};

}  // namespace graft::detail
