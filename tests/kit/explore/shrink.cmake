# cmake -DINPUT=... -DOUTPUT=... -DWHAT=... -DWITH=... -P shrink.cmake
# Copies a header with one text, which must occur exactly once, replaced by another.
file(READ "${INPUT}" text)
string(REPLACE "${WHAT}" "" without "${text}")
string(LENGTH "${text}" before)
string(LENGTH "${without}" after)
string(LENGTH "${WHAT}" length)
math(EXPR removed "${before} - ${after}")
if(NOT removed EQUAL length)
  message(FATAL_ERROR "'${WHAT}' does not occur exactly once in ${INPUT}")
endif()
string(REPLACE "${WHAT}" "${WITH}" text "${text}")
file(WRITE "${OUTPUT}" "${text}")
