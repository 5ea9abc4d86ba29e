# graft::cpp_httplib: the HTTP library that graft::http links, wherever it is found.
#
# Some packages bring a CMake package (httplib::httplib). Debian's libcpp-httplib-dev is a header and a library that was
# built with OpenSSL, zlib and Brotli; the header must be compiled with the same settings.

function(graft_define_http)
  if(TARGET graft::cpp_httplib)
    return()
  endif()
  find_package(httplib CONFIG QUIET)
  if(TARGET httplib::httplib)
    add_library(graft::cpp_httplib INTERFACE IMPORTED GLOBAL)
    target_link_libraries(graft::cpp_httplib INTERFACE httplib::httplib)
    return()
  endif()
  find_path(GRAFT_HTTPLIB_DIR httplib.h)
  find_library(GRAFT_HTTPLIB_LIBRARY cpp-httplib)
  find_package(OpenSSL QUIET)
  if(GRAFT_HTTPLIB_DIR AND GRAFT_HTTPLIB_LIBRARY AND OPENSSL_FOUND)
    add_library(graft::cpp_httplib INTERFACE IMPORTED GLOBAL)
    if(NOT GRAFT_HTTPLIB_DIR STREQUAL "/usr/include")
      target_include_directories(graft::cpp_httplib SYSTEM INTERFACE ${GRAFT_HTTPLIB_DIR})
    endif()
    target_compile_definitions(graft::cpp_httplib INTERFACE CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_ZLIB_SUPPORT
                                                            CPPHTTPLIB_BROTLI_SUPPORT)
    target_link_libraries(graft::cpp_httplib INTERFACE ${GRAFT_HTTPLIB_LIBRARY} OpenSSL::SSL)
  endif()
endfunction()
