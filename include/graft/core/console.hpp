#pragma once

#include <sys/ioctl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

// What programs print.

#include "graft/core/mode.hpp"

namespace graft {

/// 22713986 -> "22,713,986".
std::string grouped_digits(std::int64_t value);

/// 75 -> "1:15", 3675 -> "1:01:15". Seconds below 0 count as 0, and more than 3.6e8 as that many.
std::string clock_text(double seconds);

/// The width of the terminal that `out` writes to; 80 where it is none.
std::size_t terminal_columns(std::FILE* out);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/console-inl.hpp"
#endif
