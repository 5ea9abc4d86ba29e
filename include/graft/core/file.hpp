#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

namespace detail {

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
  /// False, with errno, if the system reports a late write error.
  bool close() { return number_ < 0 || ::close(std::exchange(number_, -1)) == 0; }

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

/// A file that appears whole or not at all: written beside its place under another name, flushed to the disk, then
/// renamed over whatever was there. Until commit() a reader sees the old file; without commit() the old file stays. The
/// umask decides who may read it.
class OutputFile {
 public:
  /// Throws FileError if the directory of `path` is not there or cannot be written, or if `path` is a directory.
  explicit OutputFile(std::filesystem::path path);
  OutputFile(OutputFile&&) noexcept = default;
  ~OutputFile();

  /// Adds to the end. Throws FileError (such as a full disk); the object is then good for nothing but destruction.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Puts the file in its place, to stay there even if the machine loses power. Call it once, last.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  detail::Descriptor descriptor_;
};

/// Writes `text` as the whole content of `path`, with OutputFile's promise.
void write_file(const std::filesystem::path& path, std::string_view text);

/// A directory that appears whole or not at all: filled beside its place under another name, then renamed.
///
///     OutputDirectory out("model");
///     write_file(out.path() / "config.json", text);
///     out.commit();
class OutputDirectory {
 public:
  /// Creates the directory to fill, and the missing parents of `destination`.
  ///
  /// A `destination` that is there already must be an empty directory, or a directory that holds a file named
  /// `replaces`, such as "config.json": commit() then puts the new one in its place and deletes the old one with all it
  /// holds. Anything else is an OptionError, so that a mistyped path deletes nothing. FileError where the system
  /// refuses.
  explicit OutputDirectory(std::filesystem::path destination, std::string replaces = {});
  OutputDirectory(OutputDirectory&& other) noexcept
      : destination_(std::move(other.destination_)),
        replaces_(std::move(other.replaces_)),
        temporary_(std::exchange(other.temporary_, {})) {}
  OutputDirectory& operator=(OutputDirectory&&) = delete;
  ~OutputDirectory();

  /// Where to write until commit().
  const std::filesystem::path& path() const { return temporary_; }
  const std::filesystem::path& destination() const { return destination_; }

  /// Flushes all files to the disk and puts the directory in its place. Call it once, last.
  /// One that is replaced is exchanged in one step, or, where the file system has no such step, is away for a moment.
  void commit();

 private:
  bool check_destination() const;
  void exchange();

  std::filesystem::path destination_;
  std::string replaces_;
  std::filesystem::path temporary_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/file-inl.hpp"
#endif
