# Installs the headers and a package that find_package(graft) reads: graft::graft, or only graft::base when the
# component "base" is all that is asked for.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/graft)
install(DIRECTORY include/graft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS graft_base EXPORT graft-base-targets)
install(EXPORT graft-base-targets NAMESPACE graft:: DESTINATION ${package_directory})
if(NOT GRAFT_BASE_ONLY)
  install(TARGETS graft_graft EXPORT graft-targets)
  install(EXPORT graft-targets NAMESPACE graft:: DESTINATION ${package_directory})
endif()
configure_package_config_file(cmake/graft-config.cmake.in graft-config.cmake INSTALL_DESTINATION ${package_directory})
# Before 1.0 a minor version may break names.
write_basic_package_version_file(graft-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/graft-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/graft-config-version.cmake
              cmake/GraftLibTorch.cmake cmake/GraftHttp.cmake
        DESTINATION ${package_directory})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
