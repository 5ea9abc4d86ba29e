#pragma once

#include <string>

#include <torch/types.h>

#include "graft/core/error.hpp"

#ifdef GRAFT_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace graft::detail {

#ifdef GRAFT_WITH_CUDA

/// What a function launches on a device, as a CUDA graph. The first runs call it on a stream of their own, waiting for
/// the device before and after; the next is recorded there and replayed on the current stream, as are all that follow.
class CudaRecording {
 public:
  explicit CudaRecording(torch::Device device)
      : device_(device), side_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}

  template <class Body>
  void run(const Body& body) {
    const c10::cuda::CUDAGuard on_device(device_);
    if (!recorded_) {
      c10::cuda::device_synchronize();
      const c10::cuda::CUDAStreamGuard on_side(side_);
      if (warm_runs_ == wanted_warm_runs) {
        record(body);
      } else {
        body();
        ++warm_runs_;
        c10::cuda::device_synchronize();
      }
    }
    if (recorded_) graph_.replay();
  }

 private:
  template <class Body>
  void record(const Body& body) {
    try {
      c10::cuda::CUDACachingAllocator::emptyCache();  // the graph has a pool of its own
      graph_.capture_begin();
      body();
      graph_.capture_end();
      recorded_ = true;
    } catch (const c10::Error& error) {
      end_failed();
      throw StateError(
          message("the step cannot be recorded as a CUDA graph: ", error.what_without_backtrace(),
                  "; see that the loss function reads no tensor on the host and copies nothing from there"));
    } catch (...) {
      end_failed();
      throw;
    }
  }

  /// Leaves recording. That this fails too is not news.
  void end_failed() {
    try {
      graph_.capture_end();
    } catch (const c10::Error&) {
    }
    graph_.reset();
  }

  static constexpr int wanted_warm_runs = 3;  // as PyTorch's notes on CUDA graphs have it

  torch::Device device_;
  c10::cuda::CUDAStream side_;
  at::cuda::CUDAGraph graph_;
  int warm_runs_ = 0;
  bool recorded_ = false;
};

#else

/// Without LibTorch's CUDA libraries there is no device to record for.
class CudaRecording {
 public:
  explicit CudaRecording(torch::Device) {}

  template <class Body>
  void run(const Body& body) {
    body();
  }
};

#endif

}  // namespace graft::detail
