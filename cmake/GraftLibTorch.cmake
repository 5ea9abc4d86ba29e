# Defines graft::libtorch, an imported target, from a LibTorch that is already there: PyPI's torch wheel or the archive
# from pytorch.org. TorchConfig.cmake is not used: it demands a CUDA compiler wherever the wheel was built with CUDA.
#
# Looked at, in this order: Torch_ROOT, Torch_DIR, CMAKE_PREFIX_PATH, the environment's Torch_ROOT and VIRTUAL_ENV, and
# graft's own .deps/ (filled by cmake/fetch.py, which CMake calls itself when GRAFT_FETCH is on).

function(graft_libtorch_candidates out)
  set(bases ${Torch_ROOT} ${Torch_DIR} ${CMAKE_PREFIX_PATH} $ENV{Torch_ROOT} $ENV{Torch_DIR} $ENV{VIRTUAL_ENV} ${ARGN})
  set(found)
  foreach(base IN LISTS bases)
    file(GLOB in_environment ${base}/lib/python3*/site-packages/torch)
    list(APPEND found ${base} ${base}/torch ${base}/../../.. ${in_environment})
  endforeach()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

function(graft_find_libtorch)
  if(TARGET graft::libtorch)
    return()
  endif()
  set(own ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../.deps/venv)
  graft_libtorch_candidates(candidates ${own})
  find_path(GRAFT_LIBTORCH_ROOT include/torch/csrc/api/include/torch/torch.h PATHS ${candidates} NO_DEFAULT_PATH)
  if(NOT GRAFT_LIBTORCH_ROOT AND GRAFT_FETCH)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    execute_process(COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/fetch.py libtorch
                    RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "LibTorch could not be fetched; the line above says why")
    endif()
    graft_libtorch_candidates(candidates ${own})
    find_path(GRAFT_LIBTORCH_ROOT include/torch/csrc/api/include/torch/torch.h PATHS ${candidates} NO_DEFAULT_PATH)
  endif()
  if(NOT GRAFT_LIBTORCH_ROOT)
    message(FATAL_ERROR "LibTorch was not found. Name one with -DTorch_ROOT=DIR (a LibTorch archive, or the torch "
                        "folder of a Python environment), or let graft fetch it: ./run build, or -DGRAFT_FETCH=ON.")
  endif()

  set(root ${GRAFT_LIBTORCH_ROOT})
  set(libraries ${root}/lib/libtorch_cpu.so ${root}/lib/libc10.so)
  set(includes ${root}/include ${root}/include/torch/csrc/api/include)
  if(GRAFT_CUDA)
    find_path(GRAFT_CUDA_INCLUDE cuda_runtime_api.h REQUIRED PATHS ${root}/../nvidia/cu13/include
              /usr/local/cuda/include)
    find_library(GRAFT_CUDART NAMES cudart libcudart.so.13 REQUIRED PATHS ${root}/../nvidia/cu13/lib
                 /usr/local/cuda/lib64)
    list(APPEND includes ${GRAFT_CUDA_INCLUDE})
    list(APPEND libraries ${GRAFT_CUDART} -Wl,--no-as-needed ${root}/lib/libtorch_cuda.so ${root}/lib/libc10_cuda.so
         -Wl,--as-needed)
  endif()
  foreach(library IN LISTS libraries)
    if(library MATCHES "^/" AND NOT EXISTS ${library})
      message(FATAL_ERROR "${library} is missing; the LibTorch in ${root} is not complete. Delete it and fetch it again.")
    endif()
  endforeach()

  # What libtorch_cpu.so itself needs lies beside it, or in the wheels next to it.
  file(GLOB runtime_directories ${root}/../nvidia/*/lib)
  add_library(graft::libtorch INTERFACE IMPORTED GLOBAL)
  target_include_directories(graft::libtorch SYSTEM INTERFACE ${includes})
  target_link_libraries(graft::libtorch INTERFACE ${libraries})
  foreach(directory IN LISTS runtime_directories)
    target_link_options(graft::libtorch INTERFACE -Wl,-rpath-link,${directory})
  endforeach()
  if(GRAFT_CUDA)
    target_compile_definitions(graft::libtorch INTERFACE GRAFT_WITH_CUDA=1)
  endif()
  message(STATUS "LibTorch: ${root}")
endfunction()
