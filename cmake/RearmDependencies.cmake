# What Rearm is built from: threads, Boost.Context for the fibers alone, ccache if it is there.

# illumos has its 64-bit libraries beside those of 32 bits, where CMake does not look by itself, and
# sockets outside of its C library.
if(CMAKE_SYSTEM_NAME STREQUAL "SunOS")
  if(NOT CMAKE_LIBRARY_ARCHITECTURE)
    set(CMAKE_LIBRARY_ARCHITECTURE amd64)
  endif()
  set(REARM_SOCKET_LIBRARIES socket nsl)
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# The poller must build where Boost is not installed, so the default follows what is found; whoever
# asks for the scheduler by name gets it or an error.
if(NOT DEFINED REARM_BUILD_SCHED OR REARM_BUILD_SCHED)
  # CONFIG: every Boost since 1.70 brings its own package file, and newer CMakes drop FindBoost.
  find_package(Boost 1.74 CONFIG QUIET COMPONENTS context)
endif()
if(TARGET Boost::context)
  set(_rearm_sched_default ON)
else()
  set(_rearm_sched_default OFF)
endif()
set(_rearm_boost_packages
    "(Debian and Ubuntu: libboost-context-dev; elsewhere `scripts/setup native` names it)")
if(NOT DEFINED REARM_BUILD_SCHED AND NOT TARGET Boost::context)
  message(STATUS "Boost.Context >= 1.74 not found: building rearm::base and rearm::poller only "
                 "${_rearm_boost_packages}")
endif()
option(REARM_BUILD_SCHED "Build fibers and sockets; needs Boost.Context" ${_rearm_sched_default})
if(REARM_BUILD_SCHED AND NOT TARGET Boost::context)
  message(FATAL_ERROR "REARM_BUILD_SCHED is ON, but Boost.Context >= 1.74 was not found "
                      "${_rearm_boost_packages}")
endif()

# For filters by names of system calls. By its name in a consumer's link, so that the package can be
# moved: this machine's path of it is not written down.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND REARM_BUILD_SCHED)
  find_path(REARM_SECCOMP_INCLUDE seccomp.h)
  find_library(_rearm_seccomp_file seccomp)
  mark_as_advanced(REARM_SECCOMP_INCLUDE _rearm_seccomp_file)
  if(REARM_SECCOMP_INCLUDE AND _rearm_seccomp_file)
    set(REARM_SECCOMP_LIBRARY seccomp)
  else()
    message(STATUS "libseccomp not found (Debian and Ubuntu: libseccomp-dev): "
                   "seccomp filters by name say that they are not supported")
  endif()
endif()

if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(REARM_CCACHE ccache)
  mark_as_advanced(REARM_CCACHE)
  if(REARM_CCACHE)
    # What the tests precompile can be cached only if that is allowed; and a second copy of the tree
    # finds what the first has compiled, since paths below it are taken as relative ones.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
        "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${REARM_CCACHE}")
  endif()
endif()
