#include "faults/failing_calls.hpp"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace graft::faults {

namespace {

char watched[PATH_MAX];
std::size_t watched_length = 0;
Log* armed = nullptr;
std::size_t due = 0;
const Fault* fault = nullptr;
bool can_exchange = true;

bool is_watched(const char* path) {
  return watched_length > 0 && std::strncmp(path, watched, watched_length) == 0 &&
         (path[watched_length] == '/' || path[watched_length] == '\0');
}

enum class Fate { passes, fails, is_cut, dies_half_way };

/// What becomes of a call; errno is set where it fails. Kills where that is due.
Fate meet(const char* name, Effect effect, const char* path) {
  if (armed == nullptr || !is_watched(path)) return Fate::passes;
  const std::size_t number = ++armed->count;
  if (number <= Log::kept) {
    Call& call = armed->calls[number - 1];
    call.effect = effect;
    std::snprintf(call.name, sizeof call.name, "%s", name);
    std::snprintf(call.path, sizeof call.path, "%s", path + watched_length);
  }
  if (fault == nullptr || !(number == due || (fault->stays && number > due)) || !fault->strikes(effect))
    return Fate::passes;
  switch (fault->act) {
    case Fault::Act::kill:
      kill(getpid(), SIGKILL);
      return Fate::fails;
    case Fault::Act::half_and_kill:
      return Fate::dies_half_way;
    case Fault::Act::shorten:
      return Fate::is_cut;
    case Fault::Act::fail:
      errno = fault->error;
      return Fate::fails;
  }
  return Fate::passes;
}

Fate meet(const char* name, Effect effect, int file) {
  if (armed == nullptr) return Fate::passes;
  char link[32], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const long length = syscall(SYS_readlink, link, path, sizeof path - 1);
  if (length <= 0) return Fate::passes;
  path[length] = '\0';
  return meet(name, effect, path);
}

/// `path` as openat() and its like take it, from the root.
Fate meet_at(const char* name, Effect effect, int directory, const char* path) {
  if (armed == nullptr || path[0] == '/' || directory == AT_FDCWD) return meet(name, effect, path);
  char link[32], whole[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  const long length = syscall(SYS_readlink, link, whole, sizeof whole - 1);
  if (length <= 0) return Fate::passes;
  std::snprintf(whole + length, sizeof whole - static_cast<std::size_t>(length), "/%s", path);
  return meet(name, effect, whole);
}

/// Reads or writes: `count` bytes by `call`.
template <class Transfer>
ssize_t transfer(const char* name, Effect effect, int file, std::size_t count, const Transfer& call) {
  const Fate fate = meet(name, effect, file);
  if (fate == Fate::fails) return -1;
  if (fate == Fate::passes || (fate == Fate::is_cut && count < 2)) return call(count);
  const ssize_t done = count < 2 ? 0 : call(count / 2);
  if (fate == Fate::dies_half_way) kill(getpid(), SIGKILL);
  return done;
}

Effect of_open(int flags) {
  if ((flags & O_CREAT) != 0) return Effect::makes;
  return (flags & O_ACCMODE) == O_RDONLY ? Effect::opens : Effect::writes;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

bool Fault::strikes(Effect effect) const {
  const bool changes =
      effect != Effect::reads && effect != Effect::lists && effect != Effect::opens && effect != Effect::closes;
  switch (act) {
    case Act::kill:
      return true;
    case Act::half_and_kill:
      return effect == Effect::writes;
    case Act::shorten:
      return effect == Effect::reads || effect == Effect::writes;
    case Act::fail:
      if (error == ENOSPC) return effect != Effect::removes && changes;
      if (error == EINTR) return effect != Effect::lists;  // the system never interrupts readdir()
      return error != EROFS || (changes && effect != Effect::flushes);
  }
  return false;
}

void arm(std::string_view folder, Log& calls, std::size_t number, const Fault* what) {
  watched_length = std::min(folder.size(), sizeof watched - 1);
  std::memcpy(watched, folder.data(), watched_length);
  calls.count = 0;
  due = number;
  fault = what;
  armed = &calls;
}

void disarm() { armed = nullptr; }

void exchange_directories(bool can) { can_exchange = can; }

}  // namespace graft::faults

using namespace graft::faults;

// These stand in front of the C library's own for everything that is called by name. What reaches the disk of what was
// written is not asked for: a killed process loses nothing of it, and fsync() costs milliseconds.
extern "C" {

ssize_t read(int file, void* data, size_t size) {
  return transfer("read", Effect::reads, file, size, [&](size_t n) { return syscall(SYS_read, file, data, n); });
}
ssize_t pread(int file, void* data, size_t size, off_t at) {
  return transfer("pread", Effect::reads, file, size,
                  [&](size_t n) { return syscall(SYS_pread64, file, data, n, at); });
}
ssize_t pread64(int file, void* data, size_t size, off_t at) { return pread(file, data, size, at); }
ssize_t readv(int file, const iovec* parts, int count) {
  return meet("readv", Effect::reads, file) == Fate::fails ? -1 : syscall(SYS_readv, file, parts, count);
}
ssize_t write(int file, const void* data, size_t size) {
  return transfer("write", Effect::writes, file, size, [&](size_t n) { return syscall(SYS_write, file, data, n); });
}
ssize_t pwrite(int file, const void* data, size_t size, off_t at) {
  return transfer("pwrite", Effect::writes, file, size,
                  [&](size_t n) { return syscall(SYS_pwrite64, file, data, n, at); });
}
ssize_t pwrite64(int file, const void* data, size_t size, off_t at) { return pwrite(file, data, size, at); }
ssize_t writev(int file, const iovec* parts, int count) {
  return meet("writev", Effect::writes, file) == Fate::fails ? -1 : syscall(SYS_writev, file, parts, count);
}
int ftruncate(int file, off_t size) noexcept {
  return meet("ftruncate", Effect::makes, file) == Fate::fails ? -1
                                                               : static_cast<int>(syscall(SYS_ftruncate, file, size));
}
int ftruncate64(int file, off_t size) noexcept { return ftruncate(file, size); }
int fsync(int file) { return meet("fsync", Effect::flushes, file) == Fate::fails ? -1 : 0; }
int fdatasync(int file) { return meet("fdatasync", Effect::flushes, file) == Fate::fails ? -1 : 0; }
int close(int file) {
  const bool fails = meet("close", Effect::closes, file) == Fate::fails;
  const int error = errno;
  const int result = static_cast<int>(syscall(SYS_close, file));  // it is closed all the same
  if (!fails) return result;
  errno = error;
  return -1;
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (meet("open", of_open(flags), path) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
int openat(int directory, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (meet_at("openat", of_open(flags), directory, path) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_openat, directory, path, flags, mode));
}
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
int openat64(int directory, const char* path, int flags, ...) __attribute__((alias("openat")));
FILE* fopen(const char* path, const char* mode) {
  static const auto real = next<FILE*(const char*, const char*)>("fopen");
  return meet("fopen", mode[0] == 'r' ? Effect::opens : Effect::makes, path) == Fate::fails ? nullptr
                                                                                            : real(path, mode);
}
FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }
DIR* opendir(const char* path) {
  static const auto real = next<DIR*(const char*)>("opendir");
  return meet("opendir", Effect::opens, path) == Fate::fails ? nullptr : real(path);
}
dirent* readdir(DIR* directory) {
  static const auto real = next<dirent*(DIR*)>("readdir");
  return meet("readdir", Effect::lists, dirfd(directory)) == Fate::fails ? nullptr : real(directory);
}
dirent64* readdir64(DIR* directory) { return reinterpret_cast<dirent64*>(readdir(directory)); }

int mkdir(const char* path, mode_t mode) noexcept {
  if (meet("mkdir", Effect::makes, path) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int link(const char* from, const char* to) noexcept {
  if (meet("link", Effect::makes, to) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int symlink(const char* from, const char* to) noexcept {
  if (meet("symlink", Effect::makes, to) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_symlinkat, from, AT_FDCWD, to));
}
int rename(const char* from, const char* to) noexcept {
  if (meet("rename", Effect::renames, to) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) noexcept {
  if (meet_at("renameat2", Effect::renames, to_directory, to) == Fate::fails) return -1;
  if (!can_exchange && (flags & RENAME_EXCHANGE) != 0) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
}
int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  return renameat2(from_directory, from, to_directory, to, 0);
}
int unlinkat(int directory, const char* path, int flags) noexcept {
  if (meet_at("unlinkat", Effect::removes, directory, path) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, directory, path, flags));
}
int unlink(const char* path) noexcept {
  if (meet("unlink", Effect::removes, path) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int rmdir(const char* path) noexcept {
  if (meet("rmdir", Effect::removes, path) == Fate::fails) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
int remove(const char* path) noexcept {
  if (meet("remove", Effect::removes, path) == Fate::fails) return -1;
  if (syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0) return 0;
  return errno == EISDIR ? static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)) : -1;
}

/// A medium that has turned read-only, or is full, says so.
int statvfs(const char* path, struct statvfs* about) noexcept {
  static const auto real = next<int(const char*, struct statvfs*)>("statvfs");
  const int result = real(path, about);
  if (result != 0 || armed == nullptr || fault == nullptr || !fault->stays || armed->count < due || !is_watched(path))
    return result;
  if (fault->error == EROFS) about->f_flag |= ST_RDONLY;
  if (fault->error == ENOSPC) about->f_bavail = 0;
  return result;
}
int statvfs64(const char* path, struct statvfs64* about) noexcept {
  return statvfs(path, reinterpret_cast<struct statvfs*>(about));
}
}
