#pragma once

#include "graft/tensor/offsets.hpp"

namespace graft::detail {

GRAFT_INLINE std::int64_t longest_of(const Offsets& offsets) {
  if (offsets.longest > 0) return offsets.longest;
  const std::int64_t* ends = offsets.ends.const_data_ptr<std::int64_t>();
  std::int64_t longest = 0;
  for (std::int64_t n = 0; n + 1 < offsets.ends.numel(); ++n) longest = std::max(longest, ends[n + 1] - ends[n]);
  return longest;
}

}  // namespace graft::detail
