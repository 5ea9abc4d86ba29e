#pragma once

#include <dlfcn.h>

#include "graft/tensor/parallel.hpp"

namespace graft::detail {

/// libgomp's entry point for a parallel region, which the OpenMP runtimes of LLVM and Intel offer too. nullptr if
/// LibTorch was built without OpenMP.
using ParallelRegion = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
GRAFT_INLINE ParallelRegion parallel_region() {
  static const auto region = reinterpret_cast<ParallelRegion>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return region;
}

GRAFT_INLINE bool runs_in_parallel(std::int64_t threads) {
  return threads > 1 && !at::in_parallel_region() && parallel_region();
}

GRAFT_INLINE void run_on_threads(std::int64_t threads, void (*body)(void*), void* data) {
  parallel_region()(body, data, static_cast<unsigned>(threads), 0);
}

}  // namespace graft::detail
