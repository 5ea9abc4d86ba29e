#pragma once

/// How a program has graft: as headers alone, or from the library that GRAFT_COMPILED says it links.
///
/// X.hpp declares; X-inl.hpp beside it has the bodies. Without GRAFT_COMPILED X.hpp includes X-inl.hpp at its end, and
/// nothing is linked. With it X.hpp ends after its declarations, and graft::compiled holds the bodies (in CMake that
/// target defines it). Without CMake: define GRAFT_COMPILED everywhere and compile one file that includes
/// graft/src.hpp.
#if defined(GRAFT_COMPILED) || defined(GRAFT_SOURCE)
#define GRAFT_INLINE
#define GRAFT_MODE_STORAGE
#else
#define GRAFT_INLINE inline
#define GRAFT_MODE_STORAGE thread_local
#endif

namespace graft {

/// In each file that includes graft. It is thread-local in one mode and not in the other, which no linker joins.
[[gnu::used]] inline GRAFT_MODE_STORAGE char header_only_and_compiled_graft_are_mixed_in_one_program = 0;

}  // namespace graft

#undef GRAFT_MODE_STORAGE
