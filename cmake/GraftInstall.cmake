# Installs the headers, the compiled libraries and a package that find_package(graft) reads: graft::graft and
# graft::compiled, or only graft::base and graft::compiled_base when the component "base" is all that is asked for.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/graft)
install(DIRECTORY include/graft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS graft_base graft_compiled_base EXPORT graft-base-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT graft-base-targets NAMESPACE graft:: DESTINATION ${package_directory})
if(NOT GRAFT_BASE_ONLY)
  install(TARGETS graft_graft graft_compiled EXPORT graft-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT graft-targets NAMESPACE graft:: DESTINATION ${package_directory})
endif()
configure_package_config_file(cmake/graft-config.cmake.in graft-config.cmake INSTALL_DESTINATION ${package_directory})
# Before 1.0 a minor version may break names.
write_basic_package_version_file(graft-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/graft-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/graft-config-version.cmake
              cmake/GraftHttp.cmake cmake/GraftLibraries.cmake cmake/GraftLibTorch.cmake
        DESTINATION ${package_directory})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
