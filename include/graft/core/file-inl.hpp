#pragma once

#include <algorithm>
#include <cerrno>
#include <system_error>

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

GRAFT_INLINE std::filesystem::file_status status_of(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::status_known(status)) throw_system_error("examine", path, error.value());
  return status;
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

GRAFT_INLINE bool path_exists(const std::filesystem::path& path) {
  return std::filesystem::exists(detail::status_of(path));
}

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

}  // namespace graft
