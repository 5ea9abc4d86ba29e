#pragma once

#include "graft/core/sha256.hpp"

namespace graft::detail {

GRAFT_INLINE std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

}  // namespace graft::detail
