#pragma once

#include <string>

#include "graft/core/mode.hpp"

namespace graft {

/// Who multiplies matrices in linear(). Few rows of float32 (32, in the backward pass 16) are always multiplied by
/// kernels of graft's own, which read the weight as it lies. ops/detail/choose_product.hpp decides by this.
enum class MatrixBackend {
  measured,  ///< for each shape the fastest, timed on the first products of that shape: the choice, and with it the
             ///< rounding, may differ from run to run
  torch,     ///< LibTorch's mm: MKL on x86, which takes its AVX2 path on AMD's processors
  onednn,    ///< oneDNN, on weights packed for it; float32 and, with AVX-512, bfloat16 on the CPU
  graft_float32_onednn_bfloat16,  ///< float32: graft's own kernels, which keep no copy of the weight. bfloat16, for
                                  ///< which graft has none: as under onednn
};

/// Holds all threads to one back end. At the start it is the one that was measured to be fastest on the processor's
/// kind, so that equal runs give equal bits: graft's on AMD with AVX-512, else torch. Results differ in rounding.
void set_matrix_backend(MatrixBackend backend);
MatrixBackend matrix_backend();

/// A line for each shape measured so far, under `measured`: tokens (rounded up to a power of two), in, out, element
/// type, the milliseconds of each back end and which was chosen.
std::string matrix_backend_report();

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/detail/choose_product.hpp"
#endif
