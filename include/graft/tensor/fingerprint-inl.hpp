#pragma once

#include "graft/tensor/fingerprint.hpp"

namespace graft::detail {

GRAFT_INLINE std::uint64_t hash_bytes(const std::byte* bytes, std::size_t size) {
  // Four independent lanes keep the multiplier busy. Multiplying by an odd number loses nothing, so one changed word
  // always changes its lane.
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15u;
  std::uint64_t lanes[4] = {size, 1, 2, 3};
  std::uint64_t words[4];
  std::size_t at = 0;
  for (; at + sizeof(words) <= size; at += sizeof(words)) {
    std::memcpy(words, bytes + at, sizeof(words));
    for (int i = 0; i < 4; ++i) lanes[i] = std::rotl((lanes[i] ^ words[i]) * odd, 29);
  }
  std::memset(words, 0, sizeof(words));
  if (at < size) std::memcpy(words, bytes + at, size - at);
  std::uint64_t hash = 0;
  for (int i = 0; i < 4; ++i) hash = std::rotl((hash ^ std::rotl((lanes[i] ^ words[i]) * odd, 29)) * odd, 31);
  return hash;
}

}  // namespace graft::detail

namespace graft {

GRAFT_INLINE std::uint64_t fingerprint(const torch::Tensor& tensor) {
  const torch::NoGradGuard no_grad;
  const auto plain = tensor.detach().to(torch::kCPU).contiguous();
  return detail::hash_bytes(static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes());
}

GRAFT_INLINE std::uint64_t fingerprint(std::string_view text) {
  return detail::hash_bytes(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

GRAFT_INLINE std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace graft
