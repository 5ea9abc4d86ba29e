#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

namespace detail {

/// What an error code of the system means, and what to do about it: "the disk is full; make room and try again".
std::string system_reason(int code);

/// FileError of the last system call: `cannot open "x": No such file or directory`.
[[noreturn]] void throw_system_error(std::string_view verb, const std::filesystem::path& path, int code = errno);

/// Where what is now written under another name will be: messages show that name, the one that somebody gave.
class Destinations {
 public:
  static Destinations& all();
  void add(const std::filesystem::path& temporary, const std::filesystem::path& destination);
  void remove(const std::filesystem::path& temporary);
  std::filesystem::path of(const std::filesystem::path& path) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::filesystem::path, std::filesystem::path> places_;
};

/// An open file descriptor, closed with the object.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }

  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  /// False, with errno, if the system reports a late write error. Where a signal interrupts it, it is closed all the
  /// same.
  bool close() { return number_ < 0 || ::close(std::exchange(number_, -1)) == 0 || errno == EINTR; }

 private:
  int number_;
};

}  // namespace detail

/// A regular file, open for reading at offsets. Nothing is mapped, so a file that another process cuts short is an
/// error and not a crash.
/// Threads: read_at() may run on many at once.
class InputFile {
 public:
  /// Throws FileError if `path` cannot be opened or is not a regular file (a FIFO, a directory, a device).
  explicit InputFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }

  /// In bytes, as it was when the file was opened.
  std::uint64_t size() const { return size_; }

  /// Fills `bytes` from `offset` on. Throws FileError if the file ends before that or cannot be read.
  void read_at(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  std::filesystem::path path_;
  detail::Descriptor descriptor_;
  std::uint64_t size_ = 0;
};

/// The whole content of a regular file of at most `limit` bytes.
/// Throws FileError as InputFile does, and FormatError, before any memory is asked for, if the file is longer.
std::string read_file(const std::filesystem::path& path, std::uint64_t limit);

/// Whether something, or a directory, is at `path`, links followed. Throws FileError where the system cannot say.
bool path_exists(const std::filesystem::path& path);
bool directory_exists(const std::filesystem::path& path);

/// The paths of a directory's entries, sorted. Throws FileError.
std::vector<std::filesystem::path> list_directory(const std::filesystem::path& path);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/file-inl.hpp"
#endif
