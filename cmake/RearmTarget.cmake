# How a target of Rearm is compiled, and how a room becomes a library.

# What code on the stack of a fiber is compiled and linked with, ours and its users'
# (docs/decisions/0014-guards-and-binding.md). A user's target that does not want it sets its
# property REARM_STACK_CLASH_PROTECTION or REARM_BIND_NOW to OFF.
option(REARM_STACK_FLAGS
       "Compile and link with -fstack-clash-protection and -z now, and have users do so" ON)
if(REARM_STACK_FLAGS)
  include(CheckCXXCompilerFlag)
  include(CheckLinkerFlag)
  # Where a compiler does not have it, Clang only warns.
  set(CMAKE_REQUIRED_FLAGS -Werror)
  check_cxx_compiler_flag(-fstack-clash-protection REARM_HAS_STACK_CLASH_PROTECTION)
  unset(CMAKE_REQUIRED_FLAGS)
  check_linker_flag(CXX LINKER:-z,now REARM_HAS_BIND_NOW)
endif()

# rearm_flags_of_fibers(<target>)
# Passes the flags on to whoever links <target>.
function(rearm_flags_of_fibers target)
  if(REARM_STACK_FLAGS AND REARM_HAS_STACK_CLASH_PROTECTION)
    set(compiler $<OR:$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>,$<COMPILE_LANG_AND_ID:C,GNU,Clang>>)
    set(wanted $<NOT:$<STREQUAL:$<TARGET_PROPERTY:REARM_STACK_CLASH_PROTECTION>,OFF>>)
    target_compile_options(${target} INTERFACE
      $<$<AND:${compiler},${wanted}>:-fstack-clash-protection>)
  endif()
  if(REARM_STACK_FLAGS AND REARM_HAS_BIND_NOW)
    set(wanted $<NOT:$<STREQUAL:$<TARGET_PROPERTY:REARM_BIND_NOW>,OFF>>)
    target_link_options(${target} INTERFACE $<${wanted}:LINKER:-z,now>)
  endif()
endfunction()

# rearm_target(<target>)
# The one place for flags of our own code: rooms, tests, benchmarks and examples, never a consumer.
function(rearm_target target)
  target_compile_features(${target} PRIVATE cxx_std_23)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  if(REARM_STACK_FLAGS AND REARM_HAS_STACK_CLASH_PROTECTION)
    target_compile_options(${target} PRIVATE -fstack-clash-protection)
  endif()
  if(REARM_STRICT_WARNINGS)
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic
      -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion
      -Wold-style-cast -Wcast-qual -Wcast-align
      -Wnon-virtual-dtor -Woverloaded-virtual
      -Wformat=2 -Wundef -Wvla
      -Wimplicit-fallthrough -Wextra-semi -Wmissing-declarations
      $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wduplicated-branches>
      $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wthread-safety -Wunreachable-code -Wcomma
        -Wrange-loop-analysis -Wshorten-64-to-32 -Wimplicit-int-conversion>)
  endif()
  if(REARM_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(REARM_THREAD_SAFETY_ANALYSIS)
    target_compile_options(${target} PRIVATE ${REARM_THREAD_SAFETY_FLAGS})
  endif()
endfunction()

# rearm_private(<target>)
# For targets that include headers of src/: they must agree on what those headers look like.
function(rearm_private target)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  if(REARM_DEBUG_CHECKS STREQUAL "AUTO")
    if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")
      set(checks 1)
    else()
      set(checks $<CONFIG:Debug>)
    endif()
  else()
    set(checks $<BOOL:${REARM_DEBUG_CHECKS}>)
  endif()
  target_compile_definitions(${target} PRIVATE REARM_DEBUG_CHECKS=${checks})
endfunction()

# rearm_unit_of_its_own(<file>...)
# For files of a room whose functions must not be seen by their callers' compiler: it could keep the
# address of a thread's own variable, and a fiber goes on with it on another thread.
function(rearm_unit_of_its_own)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# rearm_room(<room> SOURCES <file>... [HEADERS <public header>...] [LINK <target>...]
#            [PRIVATE_LINK <target>...])
# Defines the library rearm_<room> and its alias rearm::<room>. HEADERS are relative to include/.
function(rearm_room room)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;LINK;PRIVATE_LINK")
  set(target rearm_${room})
  add_library(${target} ${arg_SOURCES})
  add_library(rearm::${room} ALIAS ${target})
  rearm_target(${target})
  rearm_private(${target})
  list(TRANSFORM arg_HEADERS PREPEND "${PROJECT_SOURCE_DIR}/include/")
  target_sources(${target} PUBLIC
    FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${arg_HEADERS})
  target_compile_features(${target} PUBLIC cxx_std_23)
  target_link_libraries(${target} PUBLIC ${arg_LINK} PRIVATE ${arg_PRIVATE_LINK})
  if(REARM_STACK_FLAGS AND REARM_HAS_BIND_NOW)
    target_link_options(${target} PRIVATE LINKER:-z,now)  # Where it is a shared library.
  endif()
  # Until 1.0 a minor version may change the ABI, so it is part of the soname.
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${room}
    UNITY_BUILD ${REARM_UNITY}
    UNITY_BUILD_BATCH_SIZE 0
    POSITION_INDEPENDENT_CODE ON
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endfunction()
