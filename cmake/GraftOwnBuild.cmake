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

# One precompiled torch.h for all programs that are compiled alike: it saves each file 7 s and costs 26 s once.
function(graft_precompile_torch name)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/precompiled.cpp CONTENT "")
  add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/precompiled.cpp)
  target_link_libraries(${name} PRIVATE graft::graft)
  target_compile_definitions(${name} PRIVATE GRAFT_COMPILED)
  target_compile_options(${name} PRIVATE ${GRAFT_WARNINGS} -fPIE)
  target_precompile_headers(${name} PRIVATE <torch/torch.h>)
endfunction()

# A program that includes LibTorch. -fPIE is stated because g++ passes a precompiled header over that was built without.
function(graft_use_torch target)
  target_link_libraries(${target} PRIVATE graft::compiled)
  target_compile_options(${target} PRIVATE ${GRAFT_WARNINGS} -fPIE)
  target_precompile_headers(${target} REUSE_FROM ${GRAFT_PRECOMPILED})
endfunction()

if(NOT GRAFT_BASE_ONLY)
  set(GRAFT_PRECOMPILED graft_precompiled)
  graft_precompile_torch(${GRAFT_PRECOMPILED})
endif()
