#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <torch/types.h>

#include "graft/core/mode.hpp"

namespace graft {

/// 64 bits that differ, but for chance, if any bit of the tensor's elements does. One pass over its memory.
std::uint64_t fingerprint(const torch::Tensor& tensor);

/// The same for the bytes of a text.
std::uint64_t fingerprint(std::string_view text);

/// 16 hexadecimal digits.
std::string hex(std::uint64_t value);

namespace detail {

std::uint64_t hash_bytes(const std::byte* bytes, std::size_t size);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/fingerprint-inl.hpp"
#endif
