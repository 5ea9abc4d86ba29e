#pragma once

#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <sstream>
#include <string>
#include <system_error>

#include "graft/core/hash.hpp"
#include "graft/core/output.hpp"

namespace graft {

namespace detail {

/// What is being written is named `.graft-` and 16 hexadecimal digits; its writer holds a lock on it.
constexpr std::string_view unfinished = ".graft-";
constexpr const char* written_files = ".graft_files";

/// The directory that `path` is an entry of.
GRAFT_INLINE std::filesystem::path parent_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Flushes a file or a directory to the disk. Some file systems cannot flush a directory (EINVAL): they have no need
/// to.
GRAFT_INLINE void flush_to_disk(const std::filesystem::path& path) {
  const Descriptor descriptor(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!descriptor.is_open()) throw_system_error("open", path);
  if (retry([&] { return ::fsync(descriptor.number()); }) != 0 && errno != EINVAL) throw_system_error("flush", path);
}

/// Flushes a directory and all in it. Links are left alone.
GRAFT_INLINE void flush_tree_to_disk(const std::filesystem::path& directory) {
  for (const std::filesystem::path& entry : list_directory(directory)) {
    std::error_code error;
    const auto status = std::filesystem::symlink_status(entry, error);
    if (std::filesystem::is_directory(status)) flush_tree_to_disk(entry);
    if (std::filesystem::is_regular_file(status)) flush_to_disk(entry);
  }
  flush_to_disk(directory);
}

/// A name beside `path` that nobody has taken. Short, whatever the length of the name of `path`.
GRAFT_INLINE std::filesystem::path sibling_name(const std::filesystem::path& path) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string name(unfinished);
  std::random_device random;
  for (int i = 0; i < 16; ++i) name += digits[random() & 15];
  return parent_of(path) / name;
}

GRAFT_INLINE bool is_unfinished(const std::string& name) {
  return name.size() == unfinished.size() + 16 && name.starts_with(unfinished) &&
         name.find_first_not_of("0123456789abcdef", unfinished.size()) == std::string::npos;
}

/// Takes the lock of what was just made at `place`. False if another process took it for a left-over first.
GRAFT_INLINE bool hold(const Descriptor& descriptor, const std::filesystem::path& place) {
  if (::flock(descriptor.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  struct stat ours {
  }, there{};
  return ::fstat(descriptor.number(), &ours) == 0 && ::stat(place.c_str(), &there) == 0 && ours.st_ino == there.st_ino;
}

/// Deletes what killed processes left in `directory`: what nobody holds the lock of. Best effort.
GRAFT_INLINE void remove_left_overs(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::filesystem::path path = entry->path();
    if (!is_unfinished(path.filename().native())) continue;
    const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    struct stat status {};
    if (!descriptor.is_open() || ::fstat(descriptor.number(), &status) != 0) continue;
    if (status.st_uid != ::geteuid() || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) continue;
    std::error_code ignored;
    if (::flock(descriptor.number(), LOCK_EX | LOCK_NB) == 0) std::filesystem::remove_all(path, ignored);
  }
}

GRAFT_INLINE std::filesystem::file_type type_of(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(path, error);
  if (!std::filesystem::status_known(status)) throw_system_error("examine", path, error.value());
  return status.type();
}

GRAFT_INLINE void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, std::string_view verb,
                              const std::filesystem::path& named) {
  if (retry([&] { return std::rename(from.c_str(), to.c_str()); }) != 0) throw_system_error(verb, named);
}

/// Deletes a directory and all in it: what was replaced, or is not wanted any more.
GRAFT_INLINE void remove_tree(const std::filesystem::path& path) {
  checked_call("delete the old", path, [&](auto& code) { return std::filesystem::remove_all(path, code); });
}

/// Where the directory `destination` is for the moment between two renames, on file systems that cannot exchange two.
GRAFT_INLINE std::filesystem::path aside_name(const std::filesystem::path& destination) {
  return parent_of(destination) / (".graft-old-" + hex(fingerprint(destination.filename().native())));
}

/// What a process that was killed in that moment, or after it, left: the directory goes back, or away.
GRAFT_INLINE void put_back(const std::filesystem::path& destination) {
  const std::filesystem::path aside = aside_name(destination);
  if (type_of(aside) != std::filesystem::file_type::directory) return;
  const auto type = type_of(destination);
  if (type == std::filesystem::file_type::not_found) return rename_path(aside, destination, "put back", destination);
  if (type == std::filesystem::file_type::directory) remove_tree(aside);
}

/// `checksum bytes name`, as .graft_files has it.
GRAFT_INLINE std::string file_line(const std::filesystem::path& path, const std::filesystem::path& root) {
  const InputFile file(path);
  Checksum sum;
  std::vector<std::byte> piece(1 << 20);
  for (std::uint64_t at = 0; at < file.size(); at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), file.size() - at)));
    file.read_at(at, piece);
    sum.add(piece);
  }
  return hex(sum.value()) + " " + std::to_string(file.size()) + " " + path.lexically_relative(root).native();
}

/// Calls `file(path)` for each file in `directory` but the list itself, and `other(path)` for what is no file, such as
/// a link or an empty directory.
template <class File, class Other>
void walk(const std::filesystem::path& directory, const File& file, const Other& other) {
  for (const std::filesystem::path& entry : list_directory(directory)) {
    const auto type = type_of(entry);
    if (type == std::filesystem::file_type::directory && !list_directory(entry).empty()) {
      walk(entry, file, other);
    } else if (type != std::filesystem::file_type::regular) {
      other(entry);
    } else if (entry.filename() != written_files) {
      file(entry);
    }
  }
}

GRAFT_INLINE void write_list(const std::filesystem::path& directory) {
  std::string lines;
  walk(
      directory, [&](const auto& path) { lines += file_line(path, directory) + "\n"; }, [](const auto&) {});
  write_file(directory / written_files, lines);
}

/// Why `directory` is not what OutputDirectory put there; empty if it is.
GRAFT_INLINE std::string foreign_content(const std::filesystem::path& directory) {
  if (!path_exists(directory / written_files)) return "it is not one that graft wrote";
  std::vector<std::string> lines;
  std::istringstream in(read_file(directory / written_files, std::uint64_t{1} << 28));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::string fault;
  const auto foreign = [&](const std::filesystem::path& path) {
    fault = message("it holds ", quoted(path.lexically_relative(directory).native(), 4096),
                    ", which graft did not write, or which has changed since");
  };
  walk(
      directory,
      [&](const auto& path) {
        if (std::find(lines.begin(), lines.end(), file_line(path, directory)) == lines.end()) foreign(path);
      },
      foreign);
  return fault;
}

}  // namespace detail

GRAFT_INLINE OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  const auto type = detail::type_of(path_);
  if (!path_.has_filename() ||
      (type != std::filesystem::file_type::not_found && type != std::filesystem::file_type::regular)) {
    const bool directory = !path_.has_filename() || type == std::filesystem::file_type::directory;
    throw OptionError(message("cannot write ", detail::shown(path_), ": it is ",
                              directory                                     ? "a directory"
                              : type == std::filesystem::file_type::symlink ? "a link; name the file itself"
                                                                            : "a device or a pipe; name a file"));
  }
  detail::remove_left_overs(detail::parent_of(path_));
  do {
    temporary_ = detail::sibling_name(path_);
    // 0666 less the umask: unlike mkstemp, which would leave a file that only its owner can read.
    descriptor_ = detail::Descriptor(
        detail::retry([this] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
    if (!descriptor_.is_open() && errno != EEXIST) detail::throw_system_error("create a file beside", path_);
  } while (!descriptor_.is_open() || !detail::hold(descriptor_, temporary_));
}

GRAFT_INLINE OutputFile::~OutputFile() {
  if (descriptor_.is_open()) ::unlink(temporary_.c_str());
}

GRAFT_INLINE void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = detail::retry([&] { return ::write(descriptor_.number(), bytes.data(), bytes.size()); });
    if (count < 0) detail::throw_system_error("write", path_);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

GRAFT_INLINE void OutputFile::commit() {
  if (!descriptor_.is_open()) throw StateError(message("the file ", quoted(path_.native()), " is committed already"));
  if (detail::retry([this] { return ::fsync(descriptor_.number()); }) != 0) detail::throw_system_error("flush", path_);
  detail::rename_path(temporary_, path_, "replace", path_);
  if (!descriptor_.close()) detail::throw_system_error("close", path_);
  detail::flush_to_disk(detail::parent_of(path_));
}

GRAFT_INLINE void write_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.commit();
}

GRAFT_INLINE OutputDirectory::OutputDirectory(std::filesystem::path destination, bool replace) : replace_(replace) {
  if (destination.empty()) throw OptionError("the name of the directory to write is empty");
  destination_ = std::filesystem::absolute(destination).lexically_normal();
  if (!destination_.has_filename()) destination_ = destination_.parent_path();  // "model/" names "model"
  detail::put_back(destination_);
  check_destination();
  const std::filesystem::path parent = detail::parent_of(destination_);
  detail::checked_call("create", parent, [&](auto& code) { return std::filesystem::create_directories(parent, code); });
  detail::remove_left_overs(parent);
  do {
    temporary_ = detail::sibling_name(destination_);
    if (detail::retry([this] { return ::mkdir(temporary_.c_str(), 0777); }) != 0) {
      if (errno == EEXIST) continue;
      detail::throw_system_error("create a directory beside", destination_);
    }
    lock_ = detail::Descriptor(
        detail::retry([this] { return ::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!lock_.is_open() && errno != ENOENT) {
      const int code = errno;
      ::rmdir(temporary_.c_str());
      detail::throw_system_error("open a directory beside", destination_, code);
    }
  } while (!lock_.is_open() || !detail::hold(lock_, temporary_));
  detail::Destinations::all().add(temporary_, destination_);
}

GRAFT_INLINE OutputDirectory::~OutputDirectory() {
  if (temporary_.empty()) return;
  detail::Destinations::all().remove(temporary_);
  std::error_code ignored;
  std::filesystem::remove_all(temporary_, ignored);
}

/// Whether there is something to replace. Throws if it may not be replaced.
GRAFT_INLINE bool OutputDirectory::check_destination() const {
  const auto type = detail::type_of(destination_);
  if (type == std::filesystem::file_type::not_found) return false;
  if (type != std::filesystem::file_type::directory) {
    throw OptionError(message(detail::shown(destination_), " is ",
                              type == std::filesystem::file_type::symlink ? "a link; name the directory itself"
                                                                          : "a file; name a directory"));
  }
  if (list_directory(destination_).empty()) return false;  // rename() replaces an empty directory by itself
  if (!replace_) {
    throw OptionError(
        message("the directory ", detail::shown(destination_),
                " is there already and not empty; name a new one, or ask to overwrite it if graft wrote it"));
  }
  if (const std::string fault = detail::foreign_content(destination_); !fault.empty()) {
    throw OptionError(message("the directory ", detail::shown(destination_), " is not overwritten: ", fault,
                              "; move it away or name another"));
  }
  return true;
}

GRAFT_INLINE void OutputDirectory::commit() {
  if (temporary_.empty()) throw StateError(message("the directory ", quoted(destination_.native()), " is committed"));
  detail::write_list(temporary_);
  detail::flush_tree_to_disk(temporary_);
  const bool replace = check_destination();
  const std::filesystem::path filled = temporary_;
  if (replace) {
    exchange();
  } else {
    detail::rename_path(temporary_, destination_, "create", destination_);
  }
  detail::Destinations::all().remove(filled);
  const std::filesystem::path old = std::exchange(temporary_, {});
  detail::flush_to_disk(detail::parent_of(destination_));
  if (replace) detail::remove_tree(old);
}

/// Afterwards the new directory is at destination_ and the old one at temporary_.
GRAFT_INLINE void OutputDirectory::exchange() {
  const auto exchanged = [this] {
    return ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE);
  };
  if (detail::retry(exchanged) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) detail::throw_system_error("replace", destination_);
  const std::filesystem::path aside = detail::aside_name(destination_);
  detail::rename_path(destination_, aside, "replace", destination_);
  try {
    detail::rename_path(temporary_, destination_, "replace", destination_);
  } catch (const FileError&) {
    std::rename(aside.c_str(), destination_.c_str());
    throw;
  }
  temporary_ = aside;
}

GRAFT_INLINE bool is_own_output(const std::filesystem::path& directory) {
  return detail::foreign_content(directory).empty();
}

GRAFT_INLINE void remove_output(const std::filesystem::path& directory) {
  if (!is_own_output(directory)) return;
  // Under a name that whoever writes here next takes for a left-over.
  const std::filesystem::path going = detail::sibling_name(directory);
  detail::rename_path(directory, going, "delete", directory);
  detail::remove_tree(going);
}

GRAFT_INLINE void check_output_apart(const std::filesystem::path& output,
                                     const std::vector<std::filesystem::path>& others) {
  if (output.empty()) return;
  const auto canonical = [](const std::filesystem::path& path) {
    return detail::checked_call("examine", path,
                                [&](auto& code) { return std::filesystem::weakly_canonical(path, code); });
  };
  const std::filesystem::path place = canonical(output);
  for (const std::filesystem::path& other : others) {
    if (other.empty()) continue;
    const std::filesystem::path used = canonical(other);
    std::error_code error;
    const bool same = place == used || std::filesystem::equivalent(output, other, error);
    const auto [end, rest] = std::mismatch(place.begin(), place.end(), used.begin(), used.end());
    if (same)
      throw OptionError(
          message(detail::shown(output), " is named twice, to be written and for something else; name another output"));
    if (end == place.end()) {
      throw OptionError(message(detail::shown(output), " holds ", detail::shown(other),
                                ", which this run uses too; name another output"));
    }
  }
}

}  // namespace graft
