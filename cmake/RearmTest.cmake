# Tests: where GoogleTest comes from, how a test program is compiled, and how its cases become
# ctest tests.

option(REARM_GTEST_FROM_SOURCE "Compile GoogleTest with this build's compiler and flags" OFF)
set(REARM_GTEST_SOURCE_DIR "/usr/src/googletest" CACHE PATH "GoogleTest's sources")
set(REARM_TEST_TIMEOUT_SCALE 1 CACHE STRING "Multiplies every test's timeout (slow builds)")
set(REARM_TEST_COMPILE_OPTIONS "" CACHE STRING
    "Options for the tests' own files, after the build type's; the library keeps its own")
option(REARM_TEST_UNITY
       "Compile a test program's files as one, in a quarter of the time; hides a forgotten #include"
       ON)
option(REARM_TEST_PRECOMPILE "Precompile GoogleTest once for all test programs" ON)
set(REARM_TEST_BACKENDS "event_port" CACHE STRING
    "Backends beside the default over which the tests of scheduler and sockets run, too")
set(REARM_TEST_NIGHTLY_BACKENDS "poll;event_port;kqueue" CACHE STRING
    "The same, but with the label nightly, if they are not among those")

find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
if(REARM_GTEST_FROM_SOURCE)
  # A distribution's binary is compiled for its default C++ library and without instrumentation.
  set(INSTALL_GTEST OFF)
  add_subdirectory("${REARM_GTEST_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/googletest"
                   EXCLUDE_FROM_ALL SYSTEM)
else()
  find_package(GTest REQUIRED)
endif()

# What only `scripts/test --all` runs is not built by default, but by this target.
add_custom_target(nightly)

# rearm_test_unity(<target>): compiles its files as one.
function(rearm_test_unity target)
  if(REARM_TEST_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
    # One file's local name may be another file's constant.
    target_compile_options(${target} PRIVATE -Wno-shadow)
  endif()
endfunction()

# rearm_test_target(<target>): what everything that is compiled for tests has in common.
function(rearm_test_target target)
  rearm_target(${target})
  rearm_private(${target})
  target_compile_options(${target} PRIVATE ${REARM_TEST_COMPILE_OPTIONS})
  target_include_directories(${target} PRIVATE
    "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/tests/kit")
  rearm_test_unity(${target})
endfunction()

# What most test files include. No header of ours: a change of one would compile it anew.
if(REARM_TEST_PRECOMPILE)
  file(WRITE "${PROJECT_BINARY_DIR}/precompiled.cc" "")
  add_library(rearm_test_precompiled OBJECT EXCLUDE_FROM_ALL "${PROJECT_BINARY_DIR}/precompiled.cc")
  rearm_test_target(rearm_test_precompiled)
  target_link_libraries(rearm_test_precompiled PRIVATE GTest::gmock)
  target_precompile_headers(rearm_test_precompiled PRIVATE
    <gmock/gmock.h> <gtest/gtest.h> <algorithm> <array> <atomic> <chrono> <functional> <memory>
    <optional> <span> <string> <string_view> <thread> <vector>)
endif()

# rearm_other_backends(<variable> <variable for nightly ones>): the backends beside the default
# over which a test is run: with the emulations all that are asked for, else what the system has.
function(rearm_other_backends variable nightly_variable)
  set(backends ${REARM_TEST_BACKENDS})
  set(nightly ${REARM_TEST_NIGHTLY_BACKENDS})
  if(NOT TARGET rearm_emulated_poller)
    get_target_property(native rearm_poller REARM_BACKENDS)
    list(POP_FRONT native)
    string(REPLACE ";" "|" native "${native}")
    list(FILTER backends INCLUDE REGEX "^(${native})$")
    list(FILTER nightly INCLUDE REGEX "^(${native})$")
  endif()
  list(REMOVE_ITEM nightly ${backends})
  set(${variable} ${backends} PARENT_SCOPE)
  set(${nightly_variable} ${nightly} PARENT_SCOPE)
endfunction()

# rearm_cases(<test> <program> LABELS <label>... [SHARDS <count>] [FILTER <GoogleTest's filter>]
#             [TIMEOUT <seconds for one case>] [ENVIRONMENT <NAME=value>...] [ALONE])
# ctest tests, one for each shard, that run the program's cases in one process and name the one
# that fails. ALONE: nothing else runs meanwhile.
function(rearm_cases test program)
  cmake_parse_arguments(PARSE_ARGV 2 arg "ALONE" "SHARDS;FILTER;TIMEOUT" "LABELS;ENVIRONMENT")
  if(NOT arg_SHARDS)
    set(arg_SHARDS 1)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 30)
  endif()
  math(EXPR timeout "${arg_TIMEOUT} * ${REARM_TEST_TIMEOUT_SCALE}")
  # The runner notices a case that hangs; ctest's own limit is for a runner that does.
  math(EXPR limit "(1200 + ${arg_TIMEOUT}) * ${REARM_TEST_TIMEOUT_SCALE}")
  set(filter)
  if(arg_FILTER)
    set(filter "--filter=${arg_FILTER}")
  endif()
  foreach(shard RANGE 1 ${arg_SHARDS})
    set(name ${test})
    if(arg_SHARDS GREATER 1)
      set(name ${test}.${shard}of${arg_SHARDS})
    endif()
    add_test(NAME ${name}
      COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/tests/kit/support/run_cases.py"
              --name=${name} --shard=${shard}/${arg_SHARDS} --timeout=${timeout} ${filter}
              $<TARGET_FILE:${program}>)
    set_tests_properties(${name} PROPERTIES
      LABELS "cases;${arg_LABELS}" TIMEOUT ${limit}
      ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;${arg_ENVIRONMENT}")
    if(arg_ALONE)
      set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    endif()
  endforeach()
endfunction()

# rearm_test(NAME <name> SOURCES <file>... [LIBS <target>...] LABELS <label>... [TIMEOUT <seconds>]
#            [SHARDS <count>])
#
# LABELS: unit, conformance, io: the cases are divided among SHARDS processes, which run side by
#         side with others; one by default;
#         race, stress: one process, which has the machine to itself;
#         slow, in addition, keeps a test out of `scripts/test --quick`;
#         nightly keeps it out of all but `scripts/test --all`, and its program out of the build.
# Programs that use a runtime run once more over each of rearm_other_backends(), as one test each,
# with the labels `backend` and the backend's name; in slow builds not those that keep the machine
# busy.
# TIMEOUT: seconds for one case; 30 by default, 300 for race and stress.
function(rearm_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT;SHARDS" "SOURCES;LIBS;LABELS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES OR NOT arg_LABELS)
    message(FATAL_ERROR "rearm_test: NAME, SOURCES and LABELS are needed: ${ARGV}")
  endif()
  foreach(label IN LISTS arg_LABELS)
    if(NOT label MATCHES "^(unit|conformance|race|stress|io|slow|nightly)$")
      message(FATAL_ERROR "rearm_test(${arg_NAME}): unknown label '${label}'")
    endif()
  endforeach()

  add_executable(${arg_NAME} ${arg_SOURCES})
  rearm_test_target(${arg_NAME})
  target_link_libraries(${arg_NAME} PRIVATE
    ${arg_LIBS} GTest::gtest_main GTest::gmock ${REARM_SOCKET_LIBRARIES})
  if(TARGET rearm_emulated_poller AND NOT arg_LIBS STREQUAL "rearm::base")
    target_link_libraries(${arg_NAME} PRIVATE rearm_emulated_poller)
  endif()
  if(REARM_BUILD_SCHED)
    # The scheduler's private headers switch stacks inline.
    target_link_libraries(${arg_NAME} PRIVATE Boost::headers)
  endif()
  if(TARGET rearm_test_precompiled)
    target_precompile_headers(${arg_NAME} REUSE_FROM rearm_test_precompiled)
  endif()
  if("nightly" IN_LIST arg_LABELS)
    set_target_properties(${arg_NAME} PROPERTIES EXCLUDE_FROM_ALL ON)
    add_dependencies(nightly ${arg_NAME})
  endif()

  set(alone)
  if("race" IN_LIST arg_LABELS OR "stress" IN_LIST arg_LABELS)
    set(alone ALONE)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 30)
    if(alone)
      set(arg_TIMEOUT 300)
    endif()
  endif()
  rearm_cases(${arg_NAME} ${arg_NAME} LABELS ${arg_LABELS} SHARDS ${arg_SHARDS}
              TIMEOUT ${arg_TIMEOUT} ${alone})

  # The poller's own tests go through all backends by themselves.
  if(alone AND REARM_TEST_TIMEOUT_SCALE GREATER 1)
    return()
  endif()
  if(arg_LIBS MATCHES "rearm::(sched|net)")
    rearm_other_backends(backends nightly)
    foreach(backend IN LISTS backends nightly)
      set(labels ${arg_LABELS} backend ${backend} slow)
      if(backend IN_LIST nightly)
        list(APPEND labels nightly)
      endif()
      rearm_cases(${arg_NAME}.over_${backend} ${arg_NAME} LABELS ${labels}
                  TIMEOUT ${arg_TIMEOUT} ${alone}
                  ENVIRONMENT REARM_BACKEND=${backend} REARM_TEST_SCALE=1)
    endforeach()
  endif()
endfunction()

# rearm_stamped_test(<test> LABELS <label>... TIMEOUT <seconds> [FILES <file or directory>...]
#                    [TOOLS <program>...] COMMAND <command>...)
# A test that is a function of its inputs: the command, the files and the programs. While none of
# them changes, one that has passed is not repeated (tests/tree/stamps/stamp.py).
function(rearm_stamped_test test)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS;FILES;TOOLS;COMMAND")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_COMMAND OR NOT arg_LABELS OR NOT arg_TIMEOUT)
    message(FATAL_ERROR "rearm_stamped_test: LABELS, TIMEOUT and COMMAND are needed: ${ARGV}")
  endif()
  list(TRANSFORM arg_FILES PREPEND "--file=")
  list(TRANSFORM arg_TOOLS PREPEND "--tool=")
  math(EXPR timeout "${arg_TIMEOUT} * ${REARM_TEST_TIMEOUT_SCALE}")
  add_test(NAME ${test}
    COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/tests/tree/stamps/stamp.py"
            "--dir=${PROJECT_BINARY_DIR}/stamps" --name=${test} ${arg_FILES} ${arg_TOOLS}
            -- ${arg_COMMAND})
  set_tests_properties(${test} PROPERTIES
    LABELS "${arg_LABELS}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77
    ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endfunction()
