#pragma once

#include <cstdint>
#include <string_view>

#include "graft/core/mode.hpp"

namespace graft {

/// CRC-32C (Castagnoli's polynomial), as iSCSI and TFRecord files have it: RFC 3720, section 12.1.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/crc32c-inl.hpp"
#endif
