#pragma once

#include <cstddef>
#include <string_view>

// System calls that fail to order. A program that links failing_calls.cpp has the C library's own calls behind these,
// for the libraries it loads (SQLite, LibTorch, the C++ library) as well.

namespace graft::faults {

/// What a call does to the disk.
enum class Effect { reads, lists, opens, makes, writes, flushes, renames, removes, closes };

/// A call that was made below the folder watched.
struct Call {
  Effect effect;
  char name[16];
  char path[240];
};

struct Fault {
  const char* name;
  enum class Act { fail, shorten, kill, half_and_kill } act;
  int error = 0;       ///< of a call that fails
  bool stays = false;  ///< all later ones fail too, as on a full disk
  bool strikes(Effect effect) const;
};

/// Calls are counted, and written down in memory that a child shares with its parent.
struct Log {
  static constexpr std::size_t kept = 4000;
  std::size_t count = 0;
  Call calls[kept];
};

/// From now on calls that concern what lies in or below `folder` count, and the one of that number (from 1 on) meets
/// `fault`. Without a fault they are only counted. Both must live until disarm().
void arm(std::string_view folder, Log& log, std::size_t number = 0, const Fault* fault = nullptr);
void disarm();

/// Whether file systems can exchange two directories in one step (RENAME_EXCHANGE); at first they can.
void exchange_directories(bool can);

}  // namespace graft::faults
