#pragma once

#include <dlfcn.h>

#if __has_include(<gperftools/malloc_extension.h>)
#include <gperftools/malloc_extension.h>
#endif

#include "graft/tensor/allocator.hpp"

namespace graft {
namespace detail {

/// Sets how eagerly tcmalloc gives memory back; false if it is not the program's malloc.
GRAFT_INLINE bool set_tcmalloc_release_rate(double rate) {
#if __has_include(<gperftools/malloc_extension.h>)
  // MallocExtension::instance(), looked for by name: a program that has another malloc need not link it.
  if (void* instance = dlsym(RTLD_DEFAULT, "_ZN15MallocExtension8instanceEv")) {
    reinterpret_cast<MallocExtension* (*)()>(instance)()->SetMemoryReleaseRate(rate);
    return true;
  }
#endif
  return static_cast<void>(rate), false;
}

}  // namespace detail

GRAFT_INLINE bool keep_freed_memory() {
  if (detail::set_tcmalloc_release_rate(0)) return true;
#if defined(__GLIBC__)
  // A trim threshold of -1 never trims; a smaller one, even 2 GiB, still gives memory back.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_TOP_PAD, 256 << 20) == 1;
#else
  return false;
#endif
}

GRAFT_INLINE bool give_back_freed_memory() {
  constexpr double kEagerly = 10;  // the most there is
  if (detail::set_tcmalloc_release_rate(kEagerly)) return true;
#if defined(__GLIBC__)
  return mallopt(M_MMAP_THRESHOLD, 256 << 10) == 1;  // set, it no longer grows with the blocks that are freed
#else
  return false;
#endif
}

}  // namespace graft
