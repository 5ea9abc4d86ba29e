#pragma once

#include "graft/tensor/allocator.hpp"

namespace graft {

GRAFT_INLINE bool keep_freed_memory() {
#if defined(__GLIBC__)
  // A trim threshold of -1 never trims; a smaller one, even 2 GiB, still gives memory back.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_TOP_PAD, 256 << 20) == 1;
#else
  return false;
#endif
}

GRAFT_INLINE bool give_back_freed_memory() {
#if defined(__GLIBC__)
  return mallopt(M_MMAP_THRESHOLD, 256 << 10) == 1;  // set, it no longer grows with the blocks that are freed
#else
  return false;
#endif
}

}  // namespace graft
