# The C libraries below the line of LibTorch, each as graft::NAME: cmark (Markdown), Oniguruma (the regular expressions of
# tokenizers' files, which are written for it), utf8proc (Unicode).

# graft_define_library(NAME HEADER LIBRARY PACKAGE): PACKAGE is Debian's. -DGRAFT_NAME_DIR=DIR and
# -DGRAFT_NAME_LIBRARY=FILE name one that is not found.
function(graft_define_library name header library package)
  if(TARGET graft::${name})
    return()
  endif()
  string(TOUPPER GRAFT_${name} variable)
  find_path(${variable}_DIR ${header})
  find_library(${variable}_LIBRARY ${library})
  if(NOT ${variable}_DIR OR NOT ${variable}_LIBRARY)
    message(FATAL_ERROR "graft: ${name} was not found (Debian: ${package}). Install it, or name its folder and file with "
                        "-D${variable}_DIR=DIR and -D${variable}_LIBRARY=FILE.")
  endif()
  add_library(graft::${name} INTERFACE IMPORTED GLOBAL)
  if(NOT ${variable}_DIR STREQUAL "/usr/include")
    target_include_directories(graft::${name} SYSTEM INTERFACE ${${variable}_DIR})
  endif()
  target_link_libraries(graft::${name} INTERFACE ${${variable}_LIBRARY})
endfunction()

graft_define_library(cmark cmark.h cmark libcmark-dev)
graft_define_library(oniguruma oniguruma.h onig libonig-dev)
# Oniguruma has functions of POSIX's names (regcomp, ...) that are not libc's: libc goes before it, for all who call those.
set_property(TARGET graft::oniguruma PROPERTY INTERFACE_LINK_LIBRARIES
             -Wl,--push-state,--no-as-needed,-lc,--pop-state ${GRAFT_ONIGURUMA_LIBRARY})
graft_define_library(utf8proc utf8proc.h utf8proc libutf8proc-dev)
