# graft::oniguruma: the regular expressions of tokenizers' files, which are written for that library (Debian: libonig-dev).

if(NOT TARGET graft::oniguruma)
  find_path(GRAFT_ONIGURUMA_DIR oniguruma.h)
  find_library(GRAFT_ONIGURUMA_LIBRARY onig)
  if(NOT GRAFT_ONIGURUMA_DIR OR NOT GRAFT_ONIGURUMA_LIBRARY)
    message(FATAL_ERROR "graft: Oniguruma was not found (Debian: libonig-dev). Install it, or name its folders with "
                        "-DGRAFT_ONIGURUMA_DIR=DIR and -DGRAFT_ONIGURUMA_LIBRARY=FILE.")
  endif()
  add_library(graft::oniguruma INTERFACE IMPORTED GLOBAL)
  if(NOT GRAFT_ONIGURUMA_DIR STREQUAL "/usr/include")
    target_include_directories(graft::oniguruma SYSTEM INTERFACE ${GRAFT_ONIGURUMA_DIR})
  endif()
  target_link_libraries(graft::oniguruma INTERFACE ${GRAFT_ONIGURUMA_LIBRARY})
endif()
