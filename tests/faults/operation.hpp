#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace graft::faults {

/// What is tried with every call failing. All its files are below the folder that it is given.
struct Operation {
  std::function<void(const std::filesystem::path&)> prepare;  ///< makes the old state in an empty folder
  std::function<void(const std::filesystem::path&)> run;      ///< brings the new one
  /// "old" or "new"; anything else is what is wrong.
  std::function<std::string(const std::filesystem::path&)> state;
  /// Of a library that does not repeat every interrupted call, and does not keep why one failed: an interruption may be
  /// an error, and the cause need only be named as long as it lasts.
  bool of_others = false;
};

/// Runs the operation in processes of their own: once to count its calls, then with each call meeting each fault, and
/// after each of these again. Expects that what was there or what was asked for is there, whole; that an interrupted or
/// short call changes nothing; that an error names the place and the cause; and that the next run leaves nothing
/// behind.
void try_every_fault(const Operation& operation);

}  // namespace graft::faults
