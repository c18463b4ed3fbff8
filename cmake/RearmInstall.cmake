# Install rules: libraries, headers, the CMake package and the pkg-config files.
#
# Two export sets, so that a consumer of the poller alone never has to find Boost.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(_rearm_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/rearm")

install(TARGETS rearm_base rearm_poller EXPORT rearm-poller-targets FILE_SET HEADERS)
install(EXPORT rearm-poller-targets NAMESPACE rearm:: DESTINATION "${_rearm_cmake_dir}")
if(REARM_BUILD_SCHED)
  install(TARGETS rearm_sched rearm_net rearm_os rearm_sync rearm_testing rearm_rearm
          EXPORT rearm-fiber-targets FILE_SET HEADERS)
  install(EXPORT rearm-fiber-targets NAMESPACE rearm:: DESTINATION "${_rearm_cmake_dir}")
endif()

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/rearm-config.cmake.in"
  "${PROJECT_BINARY_DIR}/rearm-config.cmake"
  INSTALL_DESTINATION "${_rearm_cmake_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/rearm-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(
  FILES "${PROJECT_BINARY_DIR}/rearm-config.cmake"
        "${PROJECT_BINARY_DIR}/rearm-config-version.cmake"
  DESTINATION "${_rearm_cmake_dir}")

# A static archive does not know what it needs, so its users must be told; a shared library does,
# and there only `pkg-config --static` has to say it.
list(TRANSFORM REARM_SOCKET_LIBRARIES PREPEND " -l" OUTPUT_VARIABLE _rearm_pc_libs)
if(REARM_SECCOMP_LIBRARY)
  list(APPEND _rearm_pc_libs " -l${REARM_SECCOMP_LIBRARY}")
endif()
string(CONCAT _rearm_pc_libs "-lboost_context" ${_rearm_pc_libs})
if(BUILD_SHARED_LIBS)
  set(REARM_PC_LIBS "")
  set(REARM_PC_LIBS_PRIVATE "${_rearm_pc_libs}")
else()
  set(REARM_PC_LIBS " ${_rearm_pc_libs}")
  set(REARM_PC_LIBS_PRIVATE "")
endif()
# Where the files lie says where the rest is, so a prefix may be chosen late, and moved. An absolute
# library directory has no prefix.
set(REARM_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_LIBDIR _rearm_is_absolute)
if(NOT _rearm_is_absolute)
  file(RELATIVE_PATH _rearm_up "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
  string(REGEX REPLACE "/$" "" _rearm_up "${_rearm_up}")
  set(REARM_PC_PREFIX "\${pcfiledir}/${_rearm_up}")
endif()
foreach(dir IN ITEMS LIBDIR INCLUDEDIR)
  cmake_path(IS_ABSOLUTE CMAKE_INSTALL_${dir} _rearm_is_absolute)
  if(_rearm_is_absolute)
    set(REARM_PC_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(REARM_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
set(REARM_PC_STACK_CLASH_PROTECTION "")
if(REARM_STACK_FLAGS AND REARM_HAS_STACK_CLASH_PROTECTION)
  set(REARM_PC_STACK_CLASH_PROTECTION "-fstack-clash-protection")
endif()
set(REARM_PC_BIND_NOW "")
if(REARM_STACK_FLAGS AND REARM_HAS_BIND_NOW)
  set(REARM_PC_BIND_NOW "-Wl,-z,now")
endif()
set(_rearm_pc_files rearm-poller.pc)
if(REARM_BUILD_SCHED)
  list(APPEND _rearm_pc_files rearm.pc rearm-testing.pc)
endif()
foreach(pc IN LISTS _rearm_pc_files)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/${pc}.in" "${PROJECT_BINARY_DIR}/${pc}" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${pc}" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()
