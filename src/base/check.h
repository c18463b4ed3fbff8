// Checks: programmer errors and broken invariants stop the process with a sentence.
//
// REARM_CHECK is always on. REARM_DCHECK costs something and is on in debug and sanitizer builds.
// The sentence says what was done wrong, in the caller's terms, not which expression was false.
#pragma once

namespace rearm::detail {

// Writes "rearm: <sentence> (<file>:<line>)" to standard error and aborts. Async-signal-safe.
[[noreturn]] void check_failed(const char* sentence, const char* file, int line) noexcept;

// The same for a system call that failed in a way that its manual page rules out; adds errno
// and the number that the call was made on.
[[noreturn]] void impossible_errno(const char* system_call, int number, int error) noexcept;

}  // namespace rearm::detail

#define REARM_CHECK(condition, sentence)                           \
  do {                                                             \
    if (!(condition)) [[unlikely]]                                 \
      ::rearm::detail::check_failed(sentence, __FILE__, __LINE__); \
  } while (false)

#if REARM_DEBUG_CHECKS
#define REARM_DCHECK(condition, sentence) REARM_CHECK(condition, sentence)
#else
#define REARM_DCHECK(condition, sentence) static_cast<void>(0)
#endif
