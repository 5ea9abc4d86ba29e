#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "graft/core/mode.hpp"

// What a program took, for its report.

namespace graft {

/// The most memory that this process ever had resident, in bytes.
std::int64_t peak_memory_bytes();

/// Bytes of the files in and below `directory` whose names end in `ending`; 0 if it is not there.
/// Throws FileError if a part of it cannot be read.
std::int64_t bytes_on_disk(const std::filesystem::path& directory, std::string_view ending = "");

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/usage-inl.hpp"
#endif
