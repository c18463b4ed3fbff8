# Clang's thread-safety analysis as an error, and the proof that it is awake.
#
# The analysis fails silently: an annotation that expands to nothing, or a flag that the compiler
# ignores, looks like clean code. So correct code must compile and each planted violation must not,
# through the library's own mutex and macros.

if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "REARM_THREAD_SAFETY_ANALYSIS needs Clang")
endif()

# The beta set is what checks the lock order.
set(REARM_THREAD_SAFETY_FLAGS
    -Werror=thread-safety -Werror=thread-safety-beta -Wthread-safety -Wthread-safety-beta)

function(_rearm_probe_thread_safety violation result_var)
  try_compile(compiled
    "${PROJECT_BINARY_DIR}/probes"
    SOURCES "${PROJECT_SOURCE_DIR}/cmake/probes/thread_safety.cc"
    CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${PROJECT_SOURCE_DIR}/src"
                "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY"
    COMPILE_DEFINITIONS -DREARM_DEBUG_CHECKS=0 -DPROBE_${violation} ${REARM_THREAD_SAFETY_FLAGS}
    CXX_STANDARD 23
    OUTPUT_VARIABLE output)
  if(compiled)
    set(${result_var} "compiles" PARENT_SCOPE)
  elseif(output MATCHES "-Werror,-Wthread-safety")
    set(${result_var} "reported" PARENT_SCOPE)
  else()
    message(FATAL_ERROR "The thread-safety probe ${violation} failed otherwise:\n${output}")
  endif()
endfunction()

set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
foreach(probe IN ITEMS CORRECT:compiles UNGUARDED:reported ORDER:reported)
  string(REGEX MATCH "^(.*):(.*)$" _ "${probe}")
  set(_rearm_probe "${CMAKE_MATCH_1}")
  set(_rearm_expected "${CMAKE_MATCH_2}")
  _rearm_probe_thread_safety(${_rearm_probe} _rearm_actual)
  if(NOT _rearm_actual STREQUAL _rearm_expected)
    message(FATAL_ERROR
      "Thread-safety probe ${_rearm_probe}: expected '${_rearm_expected}', got '${_rearm_actual}'")
  endif()
endforeach()
unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
message(STATUS "Thread-safety analysis: planted violations are reported")
