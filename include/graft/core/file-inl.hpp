#pragma once

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "graft/core/file.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::string system_reason(int code) {
  switch (code) {
    case ENOSPC:
      return "the disk is full; make room and try again";
    case EDQUOT:
      return "your share of the disk is used up; make room and try again";
    case EROFS:
      return "the medium is read-only; choose another place";
    case EIO:
      return "the disk failed (Input/output error); copy what is on it and check it";
    default:
      return std::generic_category().message(code);
  }
}

GRAFT_INLINE Destinations& Destinations::all() {
  static Destinations one;
  return one;
}

GRAFT_INLINE void Destinations::add(const std::filesystem::path& temporary, const std::filesystem::path& destination) {
  const std::lock_guard lock(mutex_);
  places_[temporary] = destination;
}

GRAFT_INLINE void Destinations::remove(const std::filesystem::path& temporary) {
  const std::lock_guard lock(mutex_);
  places_.erase(temporary);
}

GRAFT_INLINE std::filesystem::path Destinations::of(const std::filesystem::path& path) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [temporary, destination] : places_) {
    const auto [end, rest] = std::mismatch(temporary.begin(), temporary.end(), path.begin(), path.end());
    if (end != temporary.end()) continue;
    std::filesystem::path place = destination;
    for (auto part = rest; part != path.end(); ++part) place /= *part;
    return place;
  }
  return path;
}

/// The path in quotes, as messages show it.
GRAFT_INLINE std::string shown(const std::filesystem::path& path) {
  return quoted(Destinations::all().of(path).native(), 4096);
}

GRAFT_INLINE void throw_system_error(std::string_view verb, const std::filesystem::path& path, int code) {
  throw FileError(message("cannot ", verb, " ", shown(path), ": ", system_reason(code)));
}

/// Repeats a system call that a signal interrupted.
template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// Repeats a function of std::filesystem that a signal interrupted; throws what else it reports.
template <class Call>
auto checked_call(std::string_view verb, const std::filesystem::path& path, Call call) {
  for (std::error_code error;;) {
    const auto result = call(error);
    if (!error) return result;
    if (error != std::errc::interrupted) throw_system_error(verb, path, error.value());
  }
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
    throw FileError(message("cannot read ", detail::shown(path_), ": it is ",
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
      throw FileError(message("cannot read ", detail::shown(path_), ": it ends before byte ", offset, ", and ",
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
  std::vector<std::filesystem::path> entries;
  auto place =
      detail::checked_call("list", path, [&](auto& code) { return std::filesystem::directory_iterator(path, code); });
  std::error_code error;
  for (; !error && place != std::filesystem::directory_iterator(); place.increment(error)) entries.push_back(*place);
  if (error) detail::throw_system_error("list", path, error.value());
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace graft
