#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/training/callback.hpp"

namespace graft {

/// Writes a run as an event file that TensorBoard shows: `tensorboard --logdir DIRECTORY`.
///   each step         train/loss, train/learning_rate, train/gradient_norm, train/tokens_per_second, train/epoch
///   each evaluation   eval/NAME for each score
/// Numbers are float32 there, and those that are not finite are written as they are. A record is in the file once its
/// event is over: what a killed run leaves can be read. A run that is continued adds a file of its own, and TensorBoard
/// shows both as one.
/// Format: records of TensorFlow's TFRecord files (length, masked CRC-32C, data, masked CRC-32C), each an Event of
/// event.proto.
class TensorBoardLog : public TrainingCallback {
 public:
  /// Begins a new file, events.out.tfevents.SECONDS.HOST.PROCESS.NUMBER, in `directory`, which is made if need be. A
  /// step is written if its number is a multiple of `every`.
  /// Throws FileError if the file cannot be made, OptionError if `every` is below 1.
  explicit TensorBoardLog(const std::filesystem::path& directory, std::int64_t every = 1);

  GRAFT_INLINE void on_step(const StepRecord& step) override;
  GRAFT_INLINE void on_evaluation(const EvaluationRecord& evaluation) override;

  /// Adds numbers of the caller's own at `step`, by their names. Throws FileError where the system refuses.
  void add(std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars);

  const std::filesystem::path& path() const { return path_; }  ///< of the file

 private:
  void write(std::string_view event);

  std::filesystem::path path_;
  std::int64_t every_;
  std::ofstream out_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/tensorboard_log-inl.hpp"
#endif
