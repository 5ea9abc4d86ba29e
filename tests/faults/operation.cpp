#include "faults/operation.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <string_view>

#include "faults/failing_calls.hpp"
#include "graft/core/error.hpp"
#include "support/temporary_directory.hpp"

namespace graft::faults {

namespace {

namespace fs = std::filesystem;

constexpr Fault kFaults[] = {
    {"a disk full for a moment", Fault::Act::fail, ENOSPC, false},
    {"a full disk", Fault::Act::fail, ENOSPC, true},
    {"an I/O error", Fault::Act::fail, EIO, false},
    {"a broken disk", Fault::Act::fail, EIO, true},
    {"a read-only medium", Fault::Act::fail, EROFS, true},
    {"an interruption", Fault::Act::fail, EINTR, false},
    {"a short count", Fault::Act::shorten, 0, false},
    {"a kill", Fault::Act::kill, 0, false},
    {"a kill half-way", Fault::Act::half_and_kill, 0, false},
};

/// What a child tells its parent.
struct Report {
  Log log;
  char error[2000];  ///< kind and text; empty if there was none
};

/// Memory that children write and this process reads.
class Shared {
 public:
  Shared() {
    void* place = ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    report_ = static_cast<Report*>(place);
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { ::munmap(report_, sizeof(Report)); }
  Report* operator->() { return report_; }

 private:
  Report* report_;
};

/// Runs the operation in a child; gives its status as waitpid() does.
int run(const Operation& operation, const fs::path& folder, Shared& report, std::size_t number, const Fault* fault) {
  report->error[0] = '\0';
  const pid_t child = ::fork();
  if (child == 0) {
    arm(folder.native(), report->log, number, fault);
    std::string text;
    try {
      operation.run(folder);
    } catch (const Error& error) {
      text = message(error.kind(), ": ", error.what());
    } catch (const std::exception& error) {
      text = message("an error that is not graft's: ", error.what());
    }
    disarm();
    std::snprintf(report->error, sizeof report->error, "%s", text.c_str());
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

/// What graft writes under another name and has not put in place, and what it has set aside.
std::string left_behind(const fs::path& folder) {
  std::string names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".graft-") || name.find("-damaged-") != name.npos) names += " " + name;
  }
  return names;
}

/// What is wrong with an error's text; empty if nothing is.
std::string fault_of(const std::string& text, const Fault& fault, const fs::path& folder, bool of_others) {
  const auto has = [&](std::string_view part) { return text.find(part) != text.npos; };
  if (!text.starts_with("FileError: ")) return "is no FileError";
  if (!has(folder.native())) return "does not say where";
  if (has("/.graft-") && !has("cannot delete the old")) return "names what nobody knows";
  if (of_others && !fault.stays) return "";
  const char* cause = fault.error == ENOSPC  ? "the disk is full"
                      : fault.error == EROFS ? "the medium is read-only"
                      : fault.error == EIO   ? "the disk failed"
                                             : "Interrupted";
  return has(cause) ? "" : message("does not say: ", cause);
}

}  // namespace

void try_every_fault(const Operation& operation) {
  const TemporaryDirectory directory;
  const fs::path old = directory / "old", folder = directory / "folder";
  const auto start = [&] {
    fs::remove_all(folder);
    fs::copy(old, folder, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  };
  fs::create_directory(folder);
  operation.prepare(folder);
  fs::copy(folder, old, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  Shared report;

  start();
  ASSERT_EQ(operation.state(folder), "old");
  run(operation, folder, report, 0, nullptr);
  ASSERT_STREQ(report->error, "");
  ASSERT_EQ(operation.state(folder), "new");
  ASSERT_EQ(left_behind(folder), "");
  const std::size_t count = report->log.count;
  ASSERT_GT(count, 0u);
  ASSERT_LE(count, Log::kept);
  const std::vector<Call> calls(report->log.calls, report->log.calls + count);

  std::size_t tried = 0, errors = 0, wrong = 0;
  for (const Fault& fault : kFaults) {
    for (std::size_t number = 1; number <= count && wrong < 20; ++number) {
      const Call& call = calls[number - 1];
      if (!fault.strikes(call.effect)) continue;
      ++tried;
      start();
      const int status = run(operation, folder, report, number, &fault);
      const std::string error = report->error;
      std::string what;
      const bool kills = fault.act == Fault::Act::kill || fault.act == Fault::Act::half_and_kill;
      if (kills ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        what += message("\n  the process ended with status ", status);
      const std::string state = operation.state(folder);
      if (state != "new" && (state != "old" || (!kills && error.empty()))) what += "\n  there is: " + state;
      const bool must_go_on = fault.act == Fault::Act::shorten || (fault.error == EINTR && !operation.of_others);
      if (!kills && !error.empty()) {
        ++errors;
        const std::string amiss = must_go_on ? "should not be" : fault_of(error, fault, folder, operation.of_others);
        if (!amiss.empty()) what += "\n  the error " + amiss + ": " + error;
      }
      if (state != "new" || !error.empty() || kills || !left_behind(folder).empty()) {
        run(operation, folder, report, 0, nullptr);
        if (report->error[0] != '\0') what += message("\n  the next run fails: ", report->error);
        if (const std::string after = operation.state(folder); after != "new")
          what += "\n  after the next run: " + after;
        if (const std::string names = left_behind(folder); !names.empty()) what += "\n  it leaves behind:" + names;
      }
      if (what.empty()) continue;
      ++wrong;
      ADD_FAILURE() << fault.name << " at call " << number << " of " << count << ", " << call.name << " of \""
                    << call.path << "\":" << what;
    }
  }
  std::printf("%zu calls, %zu faults, %zu of them errors\n", count, tried, errors);
}

}  // namespace graft::faults
