#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace graft::detail {

/// A 64-bit sum that tells damage from what was written; no protection against intent. Each step can be undone, so that
/// one changed byte always changes the sum. The pieces in which bytes are added do not matter.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    length_ += bytes.size();
    while (!bytes.empty()) {
      if (filled_ == 0 && bytes.size() >= sizeof block_) {
        mix(bytes.data());
        bytes = bytes.subspan(sizeof block_);
        continue;
      }
      const std::size_t take = std::min(bytes.size(), sizeof block_ - filled_);
      std::memcpy(block_ + filled_, bytes.data(), take);
      filled_ += take;
      bytes = bytes.subspan(take);
      if (filled_ == sizeof block_) mix(block_), filled_ = 0;
    }
  }

  std::uint64_t value() const {
    Checksum last = *this;
    std::memset(last.block_ + filled_, 0, sizeof block_ - filled_);
    last.mix(last.block_);
    std::uint64_t out = length_;
    for (const std::uint64_t lane : last.lanes_) out = (std::rotl(out, 27) ^ lane) * kPrime;
    return out ^ out >> 32;
  }

 private:
  static constexpr std::uint64_t kPrime = 0x9e3779b97f4a7c15u;  // odd: multiplication by it can be undone

  void mix(const std::byte* block) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      std::uint64_t word = 0;
      std::memcpy(&word, block + 8 * lane, sizeof word);
      lanes_[lane] = (std::rotl(lanes_[lane], 29) ^ word) * kPrime;
    }
  }

  std::uint64_t lanes_[4] = {1, 2, 3, 4};
  std::byte block_[32] = {};
  std::size_t filled_ = 0;
  std::uint64_t length_ = 0;
};

}  // namespace graft::detail
