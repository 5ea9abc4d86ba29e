#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

/// What a program did.
struct ProgramResult {
  int exit_code = -1;  ///< 128 + the signal's number if one ended it
  std::string output;  ///< standard output and standard error, as they came
};

/// Runs a shell command, with `input` on its standard input (at most what a pipe holds).
inline ProgramResult run_program(const std::string& command, const std::string& input = "") {
  std::array<int, 2> in{};
  if (::pipe(in.data()) != 0) throw std::runtime_error("no pipe");
  if (::write(in[1], input.data(), input.size()) != static_cast<ssize_t>(input.size()))
    throw std::runtime_error("pipe");
  ::close(in[1]);
  std::FILE* out = ::popen(("{ " + command + "; } 2>&1 <&" + std::to_string(in[0])).c_str(), "r");
  ::close(in[0]);
  if (!out) throw std::runtime_error("cannot run " + command);
  ProgramResult result;
  std::array<char, 4096> bytes{};
  while (const std::size_t count = std::fread(bytes.data(), 1, bytes.size(), out)) {
    result.output.append(bytes.data(), count);
  }
  const int status = ::pclose(out);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}
