#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/tensor/state.hpp"

namespace graft {

/// All that a run needs to go on as if it had never stopped.
///
/// A directory: "checkpoint.json" with the state, and a file NAME.safetensors for each entry of `tensors`. It appears
/// whole or not at all, and a 64-bit hash of every tensor and of the state shows any later damage.
struct Checkpoint {
  Json state;                                   ///< an object: numbers and texts
  std::map<std::string, NamedTensors> tensors;  ///< by file name without its ending
};

/// Writes `checkpoint` to the directory `path`, in place of a checkpoint that is there already. One that is damaged, or
/// anything else, is renamed to `path` with "-damaged-1" behind it.
/// Throws FileError if the system refuses; what was there then stays.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Reads a checkpoint and all its tensors (on the CPU), and checks every hash.
/// Throws FormatError that says what is damaged or missing, FileError if the system refuses.
Checkpoint load_checkpoint(const std::filesystem::path& path);

/// Deletes a checkpoint. One that is damaged, or that holds something else, stays.
void remove_checkpoint(const std::filesystem::path& path);

/// The directory of the checkpoint after `step` steps: "step-000100".
std::filesystem::path checkpoint_path(const std::filesystem::path& directory, std::int64_t step);

/// What find_checkpoint() found.
struct FoundCheckpoint {
  std::filesystem::path path;
  Checkpoint checkpoint;
  std::vector<std::string> passed_over;  ///< newer ones, and what is wrong with each
};

/// The newest sound checkpoint in `directory`, by the step in its name; nothing if there is none at all.
/// Throws FormatError if there are checkpoints and none is sound, FileError if the directory cannot be read: never a
/// silent start from nothing.
std::optional<FoundCheckpoint> find_checkpoint(const std::filesystem::path& directory);

/// The steps of the checkpoints in `directory`, sound or not, rising; none if it is not there. Throws FileError.
std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& directory);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/checkpoint-inl.hpp"
#endif
