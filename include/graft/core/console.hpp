#pragma once

#include <sys/ioctl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
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

/// Runs what the program called `name` does, and gives its exit status: that of `body`; or 1, and a line on standard
/// error, if it throws, or if standard output could not take all that was written (a full disk, /dev/full).
int run_program(const char* name, const std::function<int()>& body);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/console-inl.hpp"
#endif
