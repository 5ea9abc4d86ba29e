#pragma once

#include <cstdlib>  // defines __GLIBC__ where that is the library

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace graft {

/// Tells glibc's malloc to keep freed memory for the next step: it then neither asks the system for large blocks one by
/// one nor gives them back, which costs a page fault for each 4 KiB of every large tensor at every step.
///
/// The price: the process holds the most memory it ever used. Call it once, in main(), before the first tensor: it
/// changes malloc for the whole program, so the library never does it unasked. True if it took effect; false, and no
/// change, where malloc is not glibc's.
inline bool keep_freed_memory() {
#if defined(__GLIBC__)
  // A trim threshold of -1 never trims; a smaller one, even 2 GiB, still gives memory back.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_TOP_PAD, 256 << 20) == 1;
#else
  return false;
#endif
}

}  // namespace graft
