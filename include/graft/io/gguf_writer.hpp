#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/io/quantised.hpp"

namespace graft {

/// What a key of a GGUF file's metadata can be, of what the format has.
using GgufMetadataValue = std::variant<bool, std::uint32_t, float, std::string, std::vector<std::string>>;

/// A tensor to write.
struct GgufTensorBytes {
  std::string name;  ///< of 1 to 63 bytes: llama.cpp takes no longer one
  GgufType type = GgufType::F32;
  std::vector<std::int64_t> shape = {};  ///< row-major, as in GgufTensor; at most 4 sizes
  std::span<const std::byte> bytes = {};
};

/// Writes a GGUF file, version 3, little-endian, that GgufFile and llama.cpp read: the keys by name, then the tensors
/// in their order, each at a multiple of 32 bytes. It appears whole or not at all.
///
/// Throws OptionError, before anything is written, for an empty key, the key general.alignment, which the writer keeps
/// for itself, a name that is empty, too long, has control characters or is there twice, more than 4 sizes or one below
/// 1, rows that are no whole number of blocks, and bytes that are not as many as the shape says; as OutputFile does for
/// `path`; FileError where the system refuses.
void write_gguf(const std::filesystem::path& path, const std::map<std::string, GgufMetadataValue>& metadata,
                std::span<const GgufTensorBytes> tensors);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/gguf_writer-inl.hpp"
#endif
