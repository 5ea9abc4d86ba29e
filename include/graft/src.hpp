#pragma once

// The bodies of all of graft, for projects without CMake: one source file includes this and nothing else of graft, and
// every file, this one too, is compiled with GRAFT_COMPILED. See graft/core/mode.hpp.

#undef GRAFT_COMPILED
#define GRAFT_SOURCE

#include "graft/graft.hpp"
