#pragma once

#include "graft/core/file.hpp"

namespace graft {

namespace detail {

/// FileError of the last system call: `cannot open "x": No such file or directory`.
[[noreturn]] GRAFT_INLINE void throw_system_error(std::string_view verb, const std::filesystem::path& path,
                                            int code = errno) {
  throw FileError(
      message("cannot ", verb, " ", quoted(path.native(), 4096), ": ", std::generic_category().message(code)));
}

/// Repeats a system call that a signal interrupted.
template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// The directory that `path` is an entry of.
GRAFT_INLINE std::filesystem::path parent_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// A name beside `path` that nobody has taken. Short, whatever the length of the name of `path`.
GRAFT_INLINE std::filesystem::path sibling_name(const std::filesystem::path& path) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string name = ".graft-";
  std::random_device random;
  for (int i = 0; i < 16; ++i) name += digits[random() & 15];
  return parent_of(path) / name;
}

/// Flushes a file or a directory to the disk. Some file systems cannot flush a directory (EINVAL): they have no need
/// to.
GRAFT_INLINE void flush_to_disk(const std::filesystem::path& path) {
  const Descriptor descriptor(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!descriptor.is_open()) throw_system_error("open", path);
  if (retry([&] { return ::fsync(descriptor.number()); }) != 0 && errno != EINVAL) throw_system_error("flush", path);
}

GRAFT_INLINE std::filesystem::file_status status_of(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::status_known(status)) throw_system_error("examine", path, error.value());
  return status;
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

GRAFT_INLINE void rename_path(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) throw_system_error("create", to);
}

}  // namespace detail

GRAFT_INLINE InputFile::InputFile(std::filesystem::path path)
    : path_(std::move(path)),
      // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. It does not affect regular files.
      descriptor_(detail::retry([this] { return ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); })) {
  if (!descriptor_.is_open()) detail::throw_system_error("open", path_);
  struct stat status {};
  if (::fstat(descriptor_.number(), &status) != 0) detail::throw_system_error("examine", path_);
  if (!S_ISREG(status.st_mode)) {
    throw FileError(message("cannot read ", quoted(path_.native(), 4096), ": it is ",
                            S_ISDIR(status.st_mode) ? "a directory" : "not a regular file"));
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

GRAFT_INLINE void InputFile::read_at(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = offset > static_cast<std::uint64_t>(INT64_MAX) ? 0 : detail::retry([&] {
      return ::pread(descriptor_.number(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    });
    if (count < 0) detail::throw_system_error("read", path_);
    if (count == 0) {
      throw FileError(message("cannot read ", quoted(path_.native(), 4096), ": it ends before byte ", offset, ", and ",
                              bytes.size(), " more bytes were wanted; was it changed while it was open?"));
    }
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

GRAFT_INLINE std::string read_file(const std::filesystem::path& path, std::uint64_t limit) {
  const InputFile file(path);
  if (file.size() > limit) {
    throw FormatError(message(path.native(), ": has ", file.size(), " bytes, more than the limit of ", limit));
  }
  std::string content(static_cast<std::size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(content)));
  return content;
}

GRAFT_INLINE bool path_exists(const std::filesystem::path& path) { return std::filesystem::exists(detail::status_of(path)); }

GRAFT_INLINE bool directory_exists(const std::filesystem::path& path) {
  return std::filesystem::is_directory(detail::status_of(path));
}

GRAFT_INLINE std::vector<std::filesystem::path> list_directory(const std::filesystem::path& path) {
  std::error_code error;
  std::vector<std::filesystem::path> entries;
  std::filesystem::directory_iterator place(path, error);
  for (; !error && place != std::filesystem::directory_iterator(); place.increment(error)) entries.push_back(*place);
  if (error) detail::throw_system_error("list", path, error.value());
  std::sort(entries.begin(), entries.end());
  return entries;
}

GRAFT_INLINE OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  if (!path_.has_filename() || directory_exists(path_)) {
    throw FileError(message("cannot write ", quoted(path_.native(), 4096), ": it is a directory"));
  }
  do {
    temporary_ = detail::sibling_name(path_);
    // 0666 less the umask: unlike mkstemp, which would leave a file that only its owner can read.
    descriptor_ = detail::Descriptor(
        detail::retry([this] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
  } while (!descriptor_.is_open() && errno == EEXIST);
  if (!descriptor_.is_open()) detail::throw_system_error("create a file beside", path_);
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
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) detail::throw_system_error("replace", path_);
  if (!descriptor_.close()) detail::throw_system_error("close", path_);
  detail::flush_to_disk(detail::parent_of(path_));
}

GRAFT_INLINE void write_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.commit();
}

GRAFT_INLINE OutputDirectory::OutputDirectory(std::filesystem::path destination, std::string replaces)
    : replaces_(std::move(replaces)) {
  if (destination.empty()) throw OptionError("the name of the directory to write is empty");
  destination_ = std::filesystem::absolute(destination).lexically_normal();
  if (!destination_.has_filename()) destination_ = destination_.parent_path();  // "model/" names "model"
  check_destination();
  const std::filesystem::path parent = detail::parent_of(destination_);
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  if (error) detail::throw_system_error("create", parent, error.value());
  std::filesystem::path place = detail::sibling_name(destination_);
  while (::mkdir(place.c_str(), 0777) != 0) {
    if (errno != EEXIST) detail::throw_system_error("create a directory beside", destination_);
    place = detail::sibling_name(destination_);
  }
  temporary_ = place;
}

GRAFT_INLINE OutputDirectory::~OutputDirectory() {
  std::error_code ignored;
  if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
}

/// Whether there is something to replace. Throws if it may not be replaced.
GRAFT_INLINE bool OutputDirectory::check_destination() const {
  if (!path_exists(destination_)) return false;
  if (!directory_exists(destination_)) {
    throw OptionError(message(quoted(destination_.native(), 4096), " is a file; name a directory"));
  }
  if (list_directory(destination_).empty()) return false;  // rename() replaces an empty directory by itself
  if (!replaces_.empty() && path_exists(destination_ / replaces_)) return true;
  throw OptionError(message("the directory ", quoted(destination_.native(), 4096), " is not empty",
                            replaces_.empty() ? "" : " and holds no " + replaces_, "; name a new one or empty it"));
}

GRAFT_INLINE void OutputDirectory::commit() {
  if (temporary_.empty()) throw StateError(message("the directory ", quoted(destination_.native()), " is committed"));
  detail::flush_tree_to_disk(temporary_);
  const bool replace = check_destination();
  if (replace) {
    exchange();
  } else {
    detail::rename_path(temporary_, destination_);
  }
  const std::filesystem::path old = std::exchange(temporary_, {});
  detail::flush_to_disk(detail::parent_of(destination_));
  std::error_code error;
  if (replace) std::filesystem::remove_all(old, error);
  if (error) detail::throw_system_error("delete what was replaced,", old, error.value());
}

/// Afterwards the new directory is at destination_ and the old one at temporary_.
GRAFT_INLINE void OutputDirectory::exchange() {
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) detail::throw_system_error("replace", destination_);
  const std::filesystem::path aside = detail::sibling_name(destination_);
  detail::rename_path(destination_, aside);
  if (std::rename(temporary_.c_str(), destination_.c_str()) != 0) {
    const int code = errno;
    std::rename(aside.c_str(), destination_.c_str());
    detail::throw_system_error("replace", destination_, code);
  }
  temporary_ = aside;
}

}  // namespace graft
