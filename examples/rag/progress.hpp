#pragma once

// How far a long command is.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "graft/core/console.hpp"

/// A bar, what the caller says of the work, and the time left: one line that is redrawn in a terminal; elsewhere a line
/// for every tenth of the work.
class ProgressLine {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  /// `share` of the work is done, from 0 to 1.
  void show(double share, const std::string& said) {
    share = std::clamp(share, 0.0, 1.0);
    const int tenth = static_cast<int>(share * 10);
    if (!terminal_ && tenth == shown_) return;
    shown_ = tenth;
    char bar[64];
    std::snprintf(bar, sizeof(bar), "[%-20s] %3.0f %%  ",
                  std::string(static_cast<std::size_t>(share * 20), '=').c_str(), share * 100);
    const double left = share > 0 ? seconds() / share * (1 - share) : 0;
    std::string line = bar + said + "  " + graft::clock_text(left) + " left";
    if (terminal_) line.resize(std::min(line.size(), graft::terminal_columns(stderr) - 1));
    std::fprintf(stderr, "%s%s%s", terminal_ ? "\r" : "", line.c_str(), terminal_ ? "\x1b[K" : "\n");
    drawn_ = terminal_;
  }

  /// Before something else is printed.
  void clear() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
    drawn_ = false;
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_ = isatty(STDERR_FILENO) == 1;
  bool drawn_ = false;
  int shown_ = 0;
  Clock::time_point start_ = Clock::now();
};
