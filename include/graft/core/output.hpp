#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/core/mode.hpp"

namespace graft {

namespace detail {

/// Renames, and again where a signal interrupts it. `verb` and `named` are for the message: what it is for.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, std::string_view verb,
                 const std::filesystem::path& named);

}  // namespace detail

/// A file that appears whole or not at all: written beside its place under another name, flushed to the disk, then
/// renamed over whatever was there. Until commit() a reader sees the old file; without commit() the old file stays. The
/// umask decides who may read it. What a killed process left of the same kind beside it is deleted.
class OutputFile {
 public:
  /// Throws OptionError if `path` is a directory, a link, a device or a pipe, FileError if its directory is not there
  /// or cannot be written.
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
///
/// Beside what it was filled with it holds `.graft_files`, a line `checksum bytes name` for each file: by it a later
/// run knows that a directory is graft's own and unchanged. What a killed process left of the same kind beside it is
/// deleted.
class OutputDirectory {
 public:
  /// Creates the directory to fill, and the missing parents of `destination`.
  ///
  /// A `destination` that is there already must be an empty directory, or with `replace` one that OutputDirectory wrote
  /// and that holds nothing else since: commit() then puts the new one in its place and deletes the old files. Anything
  /// else is an OptionError, so that a mistyped path deletes nothing. FileError where the system refuses.
  explicit OutputDirectory(std::filesystem::path destination, bool replace = false);
  OutputDirectory(OutputDirectory&& other) noexcept
      : destination_(std::move(other.destination_)),
        replace_(other.replace_),
        temporary_(std::exchange(other.temporary_, {})),
        lock_(std::move(other.lock_)) {}
  OutputDirectory& operator=(OutputDirectory&&) = delete;
  ~OutputDirectory();

  /// Where to write until commit().
  const std::filesystem::path& path() const { return temporary_; }
  const std::filesystem::path& destination() const { return destination_; }

  /// Flushes all files to the disk and puts the directory in its place. Call it once, last.
  /// One that is replaced is exchanged in one step, or, where the file system has no such step, is away for a moment;
  /// if the process is killed in it, the next OutputDirectory of that name puts the old one back.
  void commit();

 private:
  bool check_destination() const;
  void exchange();

  std::filesystem::path destination_;
  bool replace_;
  std::filesystem::path temporary_;
  detail::Descriptor lock_;
};

/// Whether `directory` holds what OutputDirectory wrote there, unchanged, and nothing else. Throws FileError.
bool is_own_output(const std::filesystem::path& directory);

/// Deletes what is_own_output(); anything else stays. It is gone at once, even if the process is killed meanwhile.
/// Throws FileError.
void remove_output(const std::filesystem::path& directory);

/// Throws OptionError if writing `output` would change what else a run uses: if it is one of `others` or holds one.
/// Empty names are passed over.
void check_output_apart(const std::filesystem::path& output, const std::vector<std::filesystem::path>& others);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/output-inl.hpp"
#endif
