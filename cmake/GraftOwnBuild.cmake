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

# What LibTorch's headers cost is paid once, for the library and all programs: of torch.h, what most files use. Each file
# saves 9 s; a smaller one would be read faster than torch.h whole, which costs every file 3 s more.
# -fPIE is stated because g++ passes a precompiled header over that was built without.
function(graft_precompile target)
  target_compile_options(${target} PRIVATE ${GRAFT_WARNINGS} -fPIE)
  target_precompile_headers(${target} REUSE_FROM graft_precompiled)
endfunction()

# A program that includes LibTorch.
function(graft_use_torch target)
  target_link_libraries(${target} PRIVATE graft::compiled)
  graft_precompile(${target})
endfunction()

if(NOT GRAFT_BASE_ONLY)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/precompiled.cpp CONTENT "")
  add_library(graft_precompiled OBJECT ${PROJECT_BINARY_DIR}/precompiled.cpp)
  target_link_libraries(graft_precompiled PRIVATE graft::graft)
  target_compile_definitions(graft_precompiled PRIVATE GRAFT_COMPILED)
  target_compile_options(graft_precompiled PRIVATE ${GRAFT_WARNINGS} -fPIE)
  target_precompile_headers(graft_precompiled PRIVATE <torch/nn/module.h> <torch/nn/pimpl.h> <torch/nn/modules/linear.h>
                            <torch/nn/modules/embedding.h> <torch/nn/modules/normalization.h> <torch/nn/modules/dropout.h>)
  graft_precompile(graft_compiled)
endif()
