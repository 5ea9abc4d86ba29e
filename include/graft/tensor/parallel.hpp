#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include <ATen/Parallel.h>

namespace graft::detail {

/// libgomp's entry point for a parallel region, which the OpenMP runtimes of LLVM and Intel offer too. nullptr if
/// LibTorch was built without OpenMP.
using ParallelRegion = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
inline ParallelRegion parallel_region() {
  static const auto region = reinterpret_cast<ParallelRegion>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return region;
}

/// Calls body(first, last) for the pieces of [0, n), `piece` long but for the last, on up to `threads` of LibTorch's
/// threads: who is done takes the next. An exception of a piece is thrown once all are done.
template <class Body>
void run_pieces(std::int64_t n, std::int64_t piece, std::int64_t threads, const Body& body) {
  struct Region {
    const Body& body;
    std::int64_t n, piece;
    std::atomic<std::int64_t> next{0};
    std::atomic_flag failed = ATOMIC_FLAG_INIT;
    std::exception_ptr error = nullptr;
  } region{body, n, piece};
  const auto run = [](void* data) {
    auto& shared = *static_cast<Region*>(data);
    for (std::int64_t first; (first = shared.next.fetch_add(shared.piece)) < shared.n;) {
      try {
        shared.body(first, std::min(first + shared.piece, shared.n));
      } catch (...) {
        if (!shared.failed.test_and_set()) shared.error = std::current_exception();
      }
    }
  };
  parallel_region()(run, &region, static_cast<unsigned>(threads), 0);
  if (region.error) std::rethrow_exception(region.error);
}

inline bool runs_in_parallel(std::int64_t threads) {
  return threads > 1 && !at::in_parallel_region() && parallel_region();
}

/// Calls body(first, last) for pieces that together are [0, n), each at least `grain` long but for the last, on
/// LibTorch's threads. The pieces depend on n, grain and the number of threads alone. An exception of a piece is thrown
/// once all are done.
///
/// at::parallel_for would be serial here: it is a template that uses threads only in files compiled with -fopenmp, and
/// graft asks no such flag of its users.
template <class Body>
void parallel_for(std::int64_t n, std::int64_t grain, const Body& body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), (n + grain - 1) / grain);
  if (!runs_in_parallel(threads)) return body(0, n);
  run_pieces(n, (n + threads - 1) / threads, threads, body);
}

/// Calls body(i) for each i of [0, n): for few tasks that are long, so that no thread waits long for another.
template <class Body>
void parallel_tasks(std::int64_t n, const Body& body) {
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), n);
  if (!runs_in_parallel(threads)) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  run_pieces(n, 1, threads, [&](std::int64_t first, std::int64_t) { body(first); });
}

}  // namespace graft::detail
