# Tests: where GoogleTest comes from, and how a test program becomes ctest tests.

option(REARM_GTEST_FROM_SOURCE "Compile GoogleTest with this build's compiler and flags" OFF)
set(REARM_GTEST_SOURCE_DIR "/usr/src/googletest" CACHE PATH "GoogleTest's sources")
set(REARM_TEST_TIMEOUT_SCALE 1 CACHE STRING "Multiplies every test's timeout (slow builds)")

if(REARM_GTEST_FROM_SOURCE)
  # A distribution's binary is compiled for its default C++ library and without instrumentation.
  set(INSTALL_GTEST OFF)
  add_subdirectory("${REARM_GTEST_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/googletest"
                   EXCLUDE_FROM_ALL SYSTEM)
else()
  find_package(GTest REQUIRED)
endif()
include(GoogleTest)

set(REARM_TEST_COMPILE_OPTIONS "" CACHE STRING
    "Options for the tests' own files, after the build type's; the library keeps its own")

option(REARM_TEST_PRECOMPILE
       "Precompile GoogleTest for test programs of several files: a fifth less to compile" OFF)

set(REARM_TEST_BACKENDS "poll;event_port;kqueue" CACHE STRING
    "Backends beside the default over which the tests of scheduler and sockets run, too")

# rearm_other_backends(<variable>): those of REARM_TEST_BACKENDS that a test can be run over beside
# the default: with the emulations each of them, else what the system itself has.
function(rearm_other_backends variable)
  set(backends ${REARM_TEST_BACKENDS})
  if(NOT TARGET rearm_emulated_poller)
    get_target_property(native rearm_poller REARM_BACKENDS)
    list(POP_FRONT native)
    string(REPLACE ";" "|" native "${native}")
    list(FILTER backends INCLUDE REGEX "^(${native})$")
  endif()
  set(${variable} ${backends} PARENT_SCOPE)
endfunction()

# rearm_test(NAME <name> SOURCES <file>... [LIBS <target>...] LABELS <label>... [TIMEOUT <seconds>])
#
# LABELS: unit, conformance, io: each case is a ctest test, in a process of its own;
#         race, stress: the whole program is one test and has the machine to itself;
#         slow, in addition, keeps a test out of `scripts/test --quick`.
# Programs that use a runtime run once more over each of rearm_other_backends(), as one test each,
# with the labels `backend` and the backend's name; in slow builds not those that keep the machine
# busy.
# TIMEOUT: seconds for one ctest test; 30 by default, 300 for race and stress.
function(rearm_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES OR NOT arg_LABELS)
    message(FATAL_ERROR "rearm_test: NAME, SOURCES and LABELS are needed: ${ARGV}")
  endif()
  foreach(label IN LISTS arg_LABELS)
    if(NOT label MATCHES "^(unit|conformance|race|stress|io|slow)$")
      message(FATAL_ERROR "rearm_test(${arg_NAME}): unknown label '${label}'")
    endif()
  endforeach()

  add_executable(${arg_NAME} ${arg_SOURCES})
  rearm_target(${arg_NAME})
  rearm_private(${arg_NAME})
  target_compile_options(${arg_NAME} PRIVATE ${REARM_TEST_COMPILE_OPTIONS})
  target_include_directories(${arg_NAME} PRIVATE
    "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/tests/kit")
  target_link_libraries(${arg_NAME} PRIVATE
    ${arg_LIBS} GTest::gtest_main GTest::gmock ${REARM_SOCKET_LIBRARIES})
  if(TARGET rearm_emulated_poller AND NOT arg_LIBS STREQUAL "rearm::base")
    target_link_libraries(${arg_NAME} PRIVATE rearm_emulated_poller)
  endif()
  if(REARM_BUILD_SCHED)
    # The scheduler's private headers switch stacks inline.
    target_link_libraries(${arg_NAME} PRIVATE Boost::headers)
  endif()

  # Not for everybody: it hides a forgotten #include, and for few files it is no gain.
  list(LENGTH arg_SOURCES files)
  if(REARM_TEST_PRECOMPILE AND files GREATER 3)
    target_precompile_headers(${arg_NAME} PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
  endif()

  set(whole_program OFF)
  if("race" IN_LIST arg_LABELS OR "stress" IN_LIST arg_LABELS)
    set(whole_program ON)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 30)
    if(whole_program)
      set(arg_TIMEOUT 300)
    endif()
  endif()
  math(EXPR timeout "${arg_TIMEOUT} * ${REARM_TEST_TIMEOUT_SCALE}")

  if(whole_program)
    add_test(NAME ${arg_NAME} COMMAND ${arg_NAME})
    set_tests_properties(${arg_NAME} PROPERTIES
      LABELS "${arg_LABELS}" TIMEOUT ${timeout} RUN_SERIAL ON)
  else()
    gtest_discover_tests(${arg_NAME}
      TEST_PREFIX "${arg_NAME}."
      TEST_LIST ${arg_NAME}_cases
      DISCOVERY_MODE PRE_TEST
      DISCOVERY_TIMEOUT 60
      PROPERTIES TIMEOUT ${timeout})
    # Its PROPERTIES cannot carry a list, so the labels are set once the cases are known.
    set(labels_file "${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}_labels.cmake")
    file(WRITE "${labels_file}"
      "set_tests_properties(\${${arg_NAME}_cases} PROPERTIES LABELS \"${arg_LABELS}\")\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${labels_file}")
  endif()

  # The poller's own tests go through all backends by themselves.
  if(whole_program AND REARM_TEST_TIMEOUT_SCALE GREATER 1)
    return()
  endif()
  if(arg_LIBS MATCHES "rearm::(sched|net)")
    rearm_other_backends(backends)
    foreach(backend IN LISTS backends)
      set(test ${arg_NAME}.over_${backend})
      add_test(NAME ${test} COMMAND ${arg_NAME} --gtest_brief=1)
      math(EXPR timeout "300 * ${REARM_TEST_TIMEOUT_SCALE}")
      set_tests_properties(${test} PROPERTIES
        LABELS "${arg_LABELS};backend;${backend};slow" TIMEOUT ${timeout}
        ENVIRONMENT "REARM_BACKEND=${backend};REARM_TEST_SCALE=1")
      if(whole_program)
        set_tests_properties(${test} PROPERTIES RUN_SERIAL ON)
      endif()
    endforeach()
  endif()
endfunction()
