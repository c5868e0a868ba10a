# SPDX-License-Identifier: BSD-3-Clause
# Install rules: library, headers, and what find_package(fastcalo) reads.

include(CMakePackageConfigHelpers)

install(
  TARGETS fastcalo
  EXPORT fastcaloTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
)
install(
  FILES
    ${PROJECT_SOURCE_DIR}/include/fastcalo/c_api.h
    ${PROJECT_SOURCE_DIR}/include/fastcalo/fastcalo.hpp
    ${PROJECT_SOURCE_DIR}/include/fastcalo/hits_file.hpp
    ${PROJECT_BINARY_DIR}/include/fastcalo/export.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fastcalo
)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/fastcalo)
install(EXPORT fastcaloTargets NAMESPACE fastcalo:: DESTINATION ${package_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/fastcaloConfig.cmake.in ${PROJECT_BINARY_DIR}/fastcaloConfig.cmake
  INSTALL_DESTINATION ${package_dir}
)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fastcaloConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES ${PROJECT_BINARY_DIR}/fastcaloConfig.cmake ${PROJECT_BINARY_DIR}/fastcaloConfigVersion.cmake
  DESTINATION ${package_dir}
)
