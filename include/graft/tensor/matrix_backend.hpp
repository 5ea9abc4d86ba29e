#pragma once

#include <string>

namespace graft {

/// Who multiplies matrices in linear().
enum class MatrixBackend {
  measured,  ///< for each shape the faster of the two, timed on the first products of that shape: the choice, and with
             ///< it the rounding, may differ from run to run
  torch,     ///< LibTorch's mm: MKL on x86, which takes its AVX2 path on AMD's processors
  onednn,    ///< oneDNN, on weights packed for it; float32 and, with AVX-512, bfloat16 on the CPU
};

/// Holds all threads to one back end. At the start it is the one that was measured to be faster on the processor's
/// kind, so that equal runs give equal bits: onednn on AMD with AVX-512, else torch. Results differ in rounding.
void set_matrix_backend(MatrixBackend backend);
MatrixBackend matrix_backend();

/// A line for each shape measured so far, under `measured`: tokens (rounded up to a power of two), in, out, element
/// type, the milliseconds of both back ends and which was chosen.
std::string matrix_backend_report();

}  // namespace graft

#include "graft/tensor/detail/matrix_backend.hpp"
