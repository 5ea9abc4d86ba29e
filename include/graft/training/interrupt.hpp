#pragma once

#include <csignal>

#include <atomic>

#include "graft/core/error.hpp"

namespace graft {

/// Ctrl-C as a request instead of an end. While an object lives, the first SIGINT or SIGTERM only raises its flag; the
/// second of the same kind ends the program as ever. For TrainerOptions::stop, in a program's main(); a library should
/// leave signals alone.
class InterruptFlag {
 public:
  /// Throws StateError if another object lives.
  InterruptFlag() {
    if (in_use().exchange(true))
      throw StateError("there is an InterruptFlag already; a process can have one at a time");
    raised() = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { raised() = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &before_[0]);
    sigaction(SIGTERM, &action, &before_[1]);
  }
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  /// Signals do again what they did before.
  ~InterruptFlag() {
    sigaction(SIGINT, &before_[0], nullptr);
    sigaction(SIGTERM, &before_[1], nullptr);
    in_use() = false;
  }

  const std::atomic<bool>& flag() const { return raised(); }

 private:
  static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

  // Constant-initialised, so that the handler never meets a guard.
  static std::atomic<bool>& raised() {
    static constinit std::atomic<bool> flag{false};
    return flag;
  }
  static std::atomic<bool>& in_use() {
    static constinit std::atomic<bool> flag{false};
    return flag;
  }

  struct sigaction before_[2];
};

}  // namespace graft
