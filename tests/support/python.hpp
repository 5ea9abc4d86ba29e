#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

/// The Python that has the reference libraries, at work for this program: importing them takes it seconds, so it is
/// started once. It ends when its pipe does.
class PythonServer {
 public:
  PythonServer() {
    int requests[2], answers[2];
    if (::pipe2(requests, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0) return;
    const std::string script = (folder() / "serve.py").string();
    const std::string reads = std::to_string(requests[0]), writes = std::to_string(answers[1]);
    if (::fork() == 0) {
      ::fcntl(requests[0], F_SETFD, 0);
      ::fcntl(answers[1], F_SETFD, 0);
      // By its first argument Python finds the environment that it is of.
      const char* python = GRAFT_DEPS "/peers/bin/python";
      ::execl(python, python, script.c_str(), reads.c_str(), writes.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(requests[0]);
    ::close(answers[1]);
    requests_ = ::fdopen(requests[1], "w");
    answers_ = ::fdopen(answers[0], "r");
  }
  ~PythonServer() {
    if (requests_ != nullptr) std::fclose(requests_);
    if (answers_ != nullptr) std::fclose(answers_);
  }
  PythonServer(const PythonServer&) = delete;
  PythonServer& operator=(const PythonServer&) = delete;

  /// The exit status of tests/reference/<request[0]>; -1 if there is none.
  int run(const std::vector<std::string>& request) {
    int status = -1;
    if (requests_ == nullptr || answers_ == nullptr) return status;
    const auto before = std::signal(SIGPIPE, SIG_IGN);
    std::fprintf(requests_, "%s\n", nlohmann::json(request).dump().c_str());
    std::fflush(requests_);
    std::signal(SIGPIPE, before);
    return std::fscanf(answers_, "%d", &status) == 1 ? status : -1;
  }

  static std::filesystem::path folder() {
    return std::filesystem::path(__FILE__).parent_path().parent_path() / "reference";
  }

 private:
  std::FILE* requests_ = nullptr;
  std::FILE* answers_ = nullptr;
};

/// Runs tests/reference/<script> with the Python that has the reference libraries. The test fails if the script does.
inline void run_python(const std::string& script, const std::vector<std::string>& arguments) {
  static PythonServer server;
  std::vector<std::string> request{script};
  request.insert(request.end(), arguments.begin(), arguments.end());
  ASSERT_EQ(server.run(request), 0) << nlohmann::json(request).dump();
}
