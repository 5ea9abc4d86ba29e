# Defines graft::libtorch, an imported target, from a LibTorch that is already there: PyPI's torch wheel or the archive
# from pytorch.org. TorchConfig.cmake is not used: it demands a CUDA compiler wherever the wheel was built with CUDA.

# graft_locate_libtorch([HINT...]): sets GRAFT_LIBTORCH_ROOT (in the cache) to the folder that holds include/ and lib/.
# Looked at, in this order: Torch_ROOT, Torch_DIR, CMAKE_PREFIX_PATH, the same names and VIRTUAL_ENV in the environment,
# the hints. Each may be LibTorch's own folder, one that holds it as torch/, or a Python environment with the wheel.
function(graft_locate_libtorch)
  set(bases ${Torch_ROOT} ${Torch_DIR} ${CMAKE_PREFIX_PATH}
      $ENV{Torch_ROOT} $ENV{Torch_DIR} $ENV{CMAKE_PREFIX_PATH} $ENV{VIRTUAL_ENV} ${ARGN})
  set(candidates)
  foreach(base IN LISTS bases)
    file(GLOB in_environment ${base}/lib/python3*/site-packages/torch)
    # Torch_DIR is usually <LibTorch>/share/cmake/Torch.
    list(APPEND candidates ${base} ${base}/torch ${base}/../../.. ${in_environment})
  endforeach()
  find_path(GRAFT_LIBTORCH_ROOT include/torch/csrc/api/include/torch/torch.h PATHS ${candidates} NO_DEFAULT_PATH
            DOC "LibTorch: the folder that holds include/ and lib/")
endfunction()

# graft_define_libtorch(CUDA): makes the target from GRAFT_LIBTORCH_ROOT; CUDA links LibTorch's CUDA libraries too.
function(graft_define_libtorch cuda)
  if(TARGET graft::libtorch)
    return()
  endif()
  if(NOT GRAFT_LIBTORCH_ROOT)
    message(FATAL_ERROR "graft: LibTorch was not found. Name one with -DTorch_ROOT=DIR (a LibTorch archive, or the torch "
                        "folder of a Python environment). In graft's own checkout, ./run build or -DGRAFT_FETCH=ON "
                        "fetches it.")
  endif()

  get_filename_component(root ${GRAFT_LIBTORCH_ROOT} REALPATH)
  set(libraries ${root}/lib/libtorch_cpu.so ${root}/lib/libc10.so)
  set(includes ${root}/include ${root}/include/torch/csrc/api/include)
  if(cuda)
    # LibTorch's own runtime goes before one of the system's. The wheels hold the headers only if nvidia-cuda-crt is there.
    find_path(GRAFT_CUDA_INCLUDE crt/host_defines.h REQUIRED HINTS ${root}/../nvidia/cu13/include
              PATHS /usr/local/cuda/include DOC "CUDA's headers")
    find_library(GRAFT_CUDART NAMES libcudart.so.13 libcudart.so NAMES_PER_DIR REQUIRED HINTS ${root}/../nvidia/cu13/lib
                 PATHS /usr/local/cuda/lib64 DOC "CUDA's runtime library")
    list(APPEND includes ${GRAFT_CUDA_INCLUDE})
    # libtorch_cuda.so registers its kernels when it is loaded; no symbol of it is called, so ld would drop it.
    list(APPEND libraries ${GRAFT_CUDART} -Wl,--no-as-needed ${root}/lib/libtorch_cuda.so ${root}/lib/libc10_cuda.so
         -Wl,--as-needed)
  endif()
  foreach(library IN LISTS libraries)
    if(library MATCHES "^/" AND NOT EXISTS ${library})
      message(FATAL_ERROR "graft: ${library} is missing; this LibTorch is not complete. Delete it and fetch it again.")
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
  if(cuda)
    target_compile_definitions(graft::libtorch INTERFACE GRAFT_WITH_CUDA=1)
  endif()
  message(STATUS "graft: LibTorch in ${root}")
endfunction()
