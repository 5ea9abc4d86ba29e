#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

/// Runs tests/reference/<script> with the Python that has the reference libraries. The test fails if the script does.
inline void run_python(const std::string& script, const std::vector<std::string>& arguments) {
  const auto tests = std::filesystem::path(__FILE__).parent_path().parent_path();
  std::string command = GRAFT_DEPS "/peers/bin/python '" + (tests / "reference" / script).string() + "'";
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}
