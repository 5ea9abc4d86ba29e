# How graft's own programs and tests are compiled. None of it reaches a user's project.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
find_program(GRAFT_CCACHE ccache)
if(GRAFT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # A precompiled header is cached only if ccache may ignore when it was made.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${GRAFT_CCACHE})
  add_compile_options("$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>" $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()
set(GRAFT_WARNINGS -Wall -Wextra)

# graft_fold(TARGET): what its sources include, LibTorch above all, is read and instantiated once for all of them. Of two
# files with a helper of one name, one has a namespace of its own.
option(GRAFT_FOLD "Compile the sources of a program, or the tests of a folder, together" ON)
function(graft_fold target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${GRAFT_FOLD} UNITY_BUILD_BATCH_SIZE 12)
endfunction()

# graft_precompiled_header(NAME FLAG LIBRARY HEADER...): what these headers cost is paid once. Each file that reuses one
# must be compiled with FLAG too: g++ passes over a header that was optimised where the file is not, or the other way
# round, and one without -fPIE; it does not mind -O1 beside -O3.
function(graft_precompiled_header name flag library)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/precompiled.cpp CONTENT "")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/precompiled.cpp)
  target_link_libraries(${name} PRIVATE ${library})
  target_compile_definitions(${name} PRIVATE GRAFT_COMPILED)
  target_compile_options(${name} PRIVATE ${flag} ${GRAFT_WARNINGS} -fPIE)
  target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()

function(graft_precompile target header)
  target_compile_options(${target} PRIVATE ${GRAFT_WARNINGS} -fPIE)
  target_precompile_headers(${target} REUSE_FROM ${header})
endfunction()

# Of torch.h, what most files use: each saves 9 s, and would lose 3 of them to torch.h whole.
set(GRAFT_TORCH_HEADERS <torch/nn/module.h> <torch/nn/pimpl.h> <torch/nn/modules/linear.h> <torch/nn/modules/embedding.h>
                        <torch/nn/modules/normalization.h> <torch/nn/modules/dropout.h>)
set(GRAFT_PRECOMPILED graft_precompiled)  # of programs; tests have their own

# The malloc of programs and benchmarks, if it is there (Debian: libgoogle-perftools-dev): keep_freed_memory() is then as
# fast as with glibc's, and costs no gaps. Sanitizers bring their own.
find_library(GRAFT_TCMALLOC tcmalloc_minimal)
if(GRAFT_TCMALLOC AND NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
  set(GRAFT_MALLOC ${GRAFT_TCMALLOC})
endif()

# A program that includes LibTorch.
function(graft_use_torch target)
  target_link_libraries(${target} PRIVATE ${GRAFT_MALLOC} graft::compiled)
  graft_precompile(${target} ${GRAFT_PRECOMPILED})
  graft_fold(${target})
endfunction()

if(NOT GRAFT_BASE_ONLY)
  graft_precompiled_header(graft_precompiled "" graft::graft ${GRAFT_TORCH_HEADERS})
  graft_precompile(graft_compiled graft_precompiled)
endif()
