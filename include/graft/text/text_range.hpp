#pragma once

#include <cstdint>

namespace graft {

/// Bytes [begin, end) of a text of less than 4 GiB.
struct TextRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

}  // namespace graft
