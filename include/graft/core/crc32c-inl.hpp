#pragma once

#include <array>

#include "graft/core/crc32c.hpp"

namespace graft {

namespace detail {

/// What the polynomial makes of each byte; its bits the other way round, as the sum holds them.
inline constexpr std::array<std::uint32_t, 256> kCrc32cOfByte = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    table[byte] = byte;
    for (int bit = 0; bit < 8; ++bit) table[byte] = table[byte] >> 1 ^ (table[byte] & 1 ? 0x82f63b78u : 0u);
  }
  return table;
}();

}  // namespace detail

GRAFT_INLINE std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t sum = 0xffffffffu;
  for (const char c : bytes) sum = sum >> 8 ^ detail::kCrc32cOfByte[(sum ^ static_cast<unsigned char>(c)) & 0xff];
  return ~sum;
}

}  // namespace graft
