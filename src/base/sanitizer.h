// REARM_TSAN and REARM_ASAN: whether this build runs under ThreadSanitizer or AddressSanitizer.
// REARM_ON_ITS_STACK: of a function whose variables must lie on the stack that it runs on. To
// detect a use after return, AddressSanitizer moves those of others to memory of its own.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define REARM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define REARM_TSAN 1
#endif
#endif
#if !defined(REARM_TSAN)
#define REARM_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define REARM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REARM_ASAN 1
#endif
#endif
#if !defined(REARM_ASAN)
#define REARM_ASAN 0
#endif

#if REARM_ASAN
#define REARM_ON_ITS_STACK __attribute__((noinline, no_sanitize("address")))
#else
#define REARM_ON_ITS_STACK
#endif
