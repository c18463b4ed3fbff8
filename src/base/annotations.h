// Names for Clang's thread-safety analysis; empty for other compilers.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#pragma once

#if defined(__clang__)
#define REARM_TSA(x) __attribute__((x))
#else
#define REARM_TSA(x)
#endif

#define REARM_CAPABILITY(name) REARM_TSA(capability(name))
#define REARM_SCOPED_CAPABILITY REARM_TSA(scoped_lockable)
#define REARM_GUARDED_BY(mutex) REARM_TSA(guarded_by(mutex))
#define REARM_REQUIRES(...) REARM_TSA(requires_capability(__VA_ARGS__))
#define REARM_EXCLUDES(...) REARM_TSA(locks_excluded(__VA_ARGS__))
#define REARM_ACQUIRE(...) REARM_TSA(acquire_capability(__VA_ARGS__))
#define REARM_TRY_ACQUIRE(...) REARM_TSA(try_acquire_capability(__VA_ARGS__))
#define REARM_RELEASE(...) REARM_TSA(release_capability(__VA_ARGS__))
#define REARM_ACQUIRED_AFTER(...) REARM_TSA(acquired_after(__VA_ARGS__))
#define REARM_NO_THREAD_SAFETY_ANALYSIS REARM_TSA(no_thread_safety_analysis)
