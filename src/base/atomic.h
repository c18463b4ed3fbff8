// Atomic: the one name through which poller and scheduler reach atomic memory.
//
// Part of the seam for control (with mutex.h, thread_parker.h and clock.h): a deterministic runtime
// takes the place of these four under test, the sources above unchanged. Fences are not offered,
// because ThreadSanitizer does not understand them; where store must be ordered before load, both
// sides use sequentially consistent operations and name each other.
#pragma once

#include <atomic>

namespace rearm::detail {

template <class T>
using Atomic = std::atomic<T>;

// Relaxed: counters and hints that order nothing.
inline constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
inline constexpr std::memory_order kAcquire = std::memory_order_acquire;
inline constexpr std::memory_order kRelease = std::memory_order_release;
inline constexpr std::memory_order kAcqRel = std::memory_order_acq_rel;
inline constexpr std::memory_order kSeqCst = std::memory_order_seq_cst;

}  // namespace rearm::detail
