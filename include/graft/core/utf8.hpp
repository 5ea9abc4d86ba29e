#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "graft/core/mode.hpp"

namespace graft::detail {

/// Whether byte `at` of valid UTF-8 begins a character or is the end.
bool is_character_border(std::string_view text, std::size_t at);

/// Bytes of the valid UTF-8 character at the front of `text`; 0 if there is none (Unicode 15, table 3-7).
std::size_t utf8_character(std::string_view text);

/// The first byte of `text` that is not UTF-8, if any.
std::optional<std::size_t> invalid_utf8(std::string_view text);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/core/utf8-inl.hpp"
#endif
