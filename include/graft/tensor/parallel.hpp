#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include <ATen/Parallel.h>

#include "graft/core/mode.hpp"

namespace graft {
namespace detail {

/// Whether a region for `threads` would run on more than the caller's own: not inside another one, nor where LibTorch
/// was built without OpenMP.
bool runs_in_parallel(std::int64_t threads);

/// Calls body(data) once on each of up to `threads` of LibTorch's threads. It must not throw.
void run_on_threads(std::int64_t threads, void (*body)(void*), void* data);

/// Calls body(first, last) for the pieces of [0, n), `piece` long but for the last: who is done takes the next.
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
  run_on_threads(threads, run, &region);
  if (region.error) std::rethrow_exception(region.error);
}

}  // namespace detail

/// Calls body(first, last) for pieces that together are [0, n), each at least `grain` long but for the last, on
/// LibTorch's threads; on the caller's alone inside another parallel region, or if n is at most `grain`. The pieces
/// depend on n, grain and the number of threads alone, and each index is in one of them. What a piece throws is thrown
/// once all are done; of several exceptions, one.
///
/// at::parallel_for would be serial here: it is a template that uses threads only in files compiled with -fopenmp, and
/// graft asks no such flag of its users.
template <class Body>
void parallel_for(std::int64_t n, std::int64_t grain, const Body& body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), (n + grain - 1) / grain);
  if (!detail::runs_in_parallel(threads)) return body(0, n);
  detail::run_pieces(n, (n + threads - 1) / threads, threads, body);
}

/// Calls body(i) for each i of [0, n) as parallel_for() calls its pieces: for few tasks that are long, so that no
/// thread waits long for another.
template <class Body>
void parallel_tasks(std::int64_t n, const Body& body) {
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), n);
  if (!detail::runs_in_parallel(threads)) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  detail::run_pieces(n, 1, threads, [&](std::int64_t first, std::int64_t) { body(first); });
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/parallel-inl.hpp"
#endif
