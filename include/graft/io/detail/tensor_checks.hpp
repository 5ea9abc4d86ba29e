#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "graft/io/safetensors.hpp"

// What every file of tensors asks of them.
namespace graft::detail {

/// Why `name` cannot name a tensor, empty if it can.
std::string_view tensor_name_fault(std::string_view name);

/// The bytes of a tensor to write. OptionError if the format cannot hold it.
std::uint64_t writable_bytes(const TensorInfo& tensor);

/// Throws OptionError unless the tensor's bytes are `size`.
void check_size(const TensorInfo& tensor, std::size_t size);

/// Throws OptionError if a name is there twice.
void check_names_differ(std::span<const TensorInfo> tensors);

}  // namespace graft::detail
