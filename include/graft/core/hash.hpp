#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "graft/core/mode.hpp"

namespace graft {

/// A 64-bit sum that tells damage and change from what was there; no protection against intent. Each step can be
/// undone, so that one changed byte always changes the sum. The pieces in which bytes are added do not matter.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }

  /// Of all that was added; more can be added after it.
  std::uint64_t value() const;

 private:
  void mix(const std::byte* block);

  std::uint64_t lanes_[4] = {1, 2, 3, 4};  // independent of each other, which keeps the multiplier busy
  std::byte block_[32] = {};
  std::size_t filled_ = 0;
  std::uint64_t length_ = 0;
};

/// Checksum of a text.
std::uint64_t fingerprint(std::string_view text);

/// 16 hexadecimal digits.
std::string hex(std::uint64_t value);

/// SHA-256 (FIPS 180-4), fed piece by piece.
class Sha256 {
 public:
  void add(std::string_view bytes);

  /// The digest as 64 hexadecimal digits. Nothing can be added after it.
  std::string hex();

 private:
  void mix();

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> block_{};
  std::size_t filled_ = 0;
  std::uint64_t length_ = 0;
};

/// The digest of `bytes` as 64 hexadecimal digits.
std::string sha256(std::string_view bytes);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/hash-inl.hpp"
#endif
