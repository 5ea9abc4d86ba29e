#include <cstdio>

#include "graft/core/error.hpp"
#include "graft/version.hpp"

int main() { std::puts(graft::message("graft ", GRAFT_VERSION, " without LibTorch").c_str()); }
