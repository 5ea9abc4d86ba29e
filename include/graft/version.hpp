#pragma once

/// The version of graft. CMake reads it from here. Semantic versioning; before 1.0 a minor step may break names.
#define GRAFT_VERSION_MAJOR 0
#define GRAFT_VERSION_MINOR 1
#define GRAFT_VERSION_PATCH 0
#define GRAFT_VERSION "0.1.0"
