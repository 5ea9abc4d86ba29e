#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/Parallel.h>

#include "graft/core/hash.hpp"

namespace graft::detail {

/// A digest of named parts, large ones on all threads.
class Digest {
 public:
  void add(std::string_view name, std::string_view text) {
    hash_.add(std::to_string(name.size()) + " " + std::to_string(text.size()) + "\n");
    hash_.add(name);
    hash_.add(text);
  }

  /// The bytes enter as the digests of their blocks.
  void add_large(std::string_view name, std::span<const std::byte> bytes) {
    constexpr std::size_t block = 1 << 20;
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::vector<std::string> digests((bytes.size() + block - 1) / block);
    at::parallel_for(0, static_cast<std::int64_t>(digests.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        digests[i] = sha256(text.substr(i * block, block));
    });
    std::string all;
    for (const std::string& digest : digests) all += digest;
    add(name, all);
  }

  /// 32 hexadecimal digits.
  std::string text() { return hash_.hex().substr(0, 32); }

 private:
  Sha256 hash_;
};

}  // namespace graft::detail
