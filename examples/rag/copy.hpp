#pragma once

// rag copy: all of a store into another.

#include <string>

struct CopyCommand {
  std::string from, to;
};

int run_copy(const CopyCommand& command);
