#pragma once

// Work in a process of its own: its peak memory is its own.

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "graft/core/error.hpp"
#include "graft/training/interrupt.hpp"

/// Runs `work` in a copy of this process and gives its exit code, or 128 and the signal that ended it. To be called
/// before this process has threads. Signals that raise `interrupt` here are passed on.
inline int in_own_process(const graft::InterruptFlag& interrupt, const std::function<int()>& work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) throw graft::StateError(graft::message("the system starts no process: ", std::strerror(errno)));
  if (child == 0) {
    const int code = work();
    std::fflush(nullptr);
    std::_Exit(code);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    if (interrupt.flag()) kill(child, SIGTERM);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
