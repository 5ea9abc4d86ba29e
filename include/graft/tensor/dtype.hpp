#pragma once

#include <optional>

#include <c10/core/ScalarType.h>

#include "graft/core/mode.hpp"
#include "graft/io/safetensors.hpp"

namespace graft {

/// LibTorch's type for a file's element type; nothing for F4 and F6_*, whose elements are smaller than a byte.
std::optional<c10::ScalarType> find_scalar_type(ElementType type);

/// The file's element type for a LibTorch type. Throws OptionError for one that files cannot hold (quantised,
/// complex128).
ElementType element_type(c10::ScalarType type);

/// Whether a stored tensor of type `from` may be loaded into a tensor of type `to`:
/// the same type; any floating point type into float64, float32, float16 or bfloat16 (rounded to nearest where it is
/// narrower: the module's type was the caller's choice); a signed integer into a wider one. Nothing else: an integer is
/// never read as a fraction, nor a fraction as an integer.
bool convertible(c10::ScalarType from, c10::ScalarType to);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/dtype-inl.hpp"
#endif
