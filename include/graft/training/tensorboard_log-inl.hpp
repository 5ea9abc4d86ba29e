#pragma once

#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>

#include "graft/core/crc32c.hpp"
#include "graft/core/error.hpp"
#include "graft/core/file.hpp"
#include "graft/training/tensorboard_log.hpp"

namespace graft {

namespace detail {

/// A number of 4 or 8 bytes, the lowest first.
template <class Number>
std::string little_endian(Number number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof number; ++i) bytes += static_cast<char>(number >> (8 * i) & 0xFF);
  return bytes;
}

/// A message of protocol buffers, field by field.
class ProtoMessage {
 public:
  void integer(int field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
  }
  void number(int field, double value) {
    key(field, 1);
    bytes_ += little_endian(std::bit_cast<std::uint64_t>(value));
  }
  void number(int field, float value) {
    key(field, 5);
    bytes_ += little_endian(std::bit_cast<std::uint32_t>(value));
  }
  void text(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
  }
  void message(int field, const ProtoMessage& value) { text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void key(int field, int wire_type) { varint(static_cast<std::uint64_t>(field << 3 | wire_type)); }
  void varint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>((value & 127) | 128);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

/// TFRecord's: a sum that is stored beside what it is of must not look like the sum of a record that holds sums.
GRAFT_INLINE std::uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

/// An Event with its time, in seconds since 1970.
GRAFT_INLINE ProtoMessage new_event() {
  ProtoMessage event;
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  event.number(1, now.count());
  return event;
}

/// A name that no other file of this machine has.
GRAFT_INLINE std::string event_file_name() {
  static std::atomic<int> files{0};
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(  // of which TensorBoard wants ten digits
      std::chrono::system_clock::now().time_since_epoch());
  return message("events.out.tfevents.", seconds.count(), ".", host, ".", ::getpid(), ".", files++);
}

}  // namespace detail

GRAFT_INLINE TensorBoardLog::TensorBoardLog(const std::filesystem::path& directory, std::int64_t every)
    : path_(directory / detail::event_file_name()), every_(every) {
  if (every < 1) throw OptionError(message("a log of every ", every, " steps; it must be at least 1"));
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) detail::throw_system_error("make the directory of the log", directory, failed.value());
  out_.open(path_, std::ios::binary | std::ios::app);
  if (!out_) detail::throw_system_error("open the log", path_);
  detail::ProtoMessage event = detail::new_event();
  event.text(3, "brain.Event:2");
  write(event.bytes());
}

GRAFT_INLINE void TensorBoardLog::write(std::string_view event) {
  const std::string length = detail::little_endian(static_cast<std::uint64_t>(event.size()));
  std::string record = length + detail::little_endian(detail::masked_crc32c(length));
  record.append(event).append(detail::little_endian(detail::masked_crc32c(event)));
  errno = 0;
  out_ << record << std::flush;
  if (!out_) detail::throw_system_error("write to the log", path_, errno != 0 ? errno : EIO);
}

GRAFT_INLINE void TensorBoardLog::add(std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars) {
  detail::ProtoMessage summary;
  for (const auto& [name, number] : scalars) {
    detail::ProtoMessage value;
    value.text(1, name);
    value.number(2, static_cast<float>(number));
    summary.message(1, value);
  }
  detail::ProtoMessage event = detail::new_event();
  event.integer(2, step);
  event.message(5, summary);
  write(event.bytes());
}

GRAFT_INLINE void TensorBoardLog::on_step(const StepRecord& step) {
  if (step.step % every_ != 0) return;
  add(step.step, {{"train/loss", step.loss},
                  {"train/learning_rate", step.lr},
                  {"train/gradient_norm", step.gradient_norm},
                  {"train/tokens_per_second", step.tokens_per_second()},
                  {"train/epoch", static_cast<double>(step.epoch)}});
}

GRAFT_INLINE void TensorBoardLog::on_evaluation(const EvaluationRecord& evaluation) {
  std::vector<std::pair<std::string, double>> scores;
  for (const auto& [name, score] : evaluation.scores) scores.emplace_back("eval/" + name, score);
  add(evaluation.step, scores);
}

}  // namespace graft
