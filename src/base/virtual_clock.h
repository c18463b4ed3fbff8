// VirtualClock: time that moves only when it is told to, for one thread.
//
// What this is. While one exists, now_ns() and Deadline::now() on the thread that made it tell its
// time; every other thread keeps the steady clock. It is how rearm::testing makes an hour's sleep
// take no time, and it is all that the library's production code knows of being tested:
// anywhere() is one relaxed load of a word that nobody writes otherwise.
//
// Who may call. The thread that made it, which destroys it, too; anywhere(): anybody.
#pragma once

#include <atomic>
#include <cstdint>

namespace rearm::detail {

class VirtualClock {
 public:
  // REQUIRES: the calling thread has none.
  explicit VirtualClock(std::int64_t start_ns) noexcept;
  VirtualClock(const VirtualClock&) = delete;
  VirtualClock& operator=(const VirtualClock&) = delete;
  ~VirtualClock();

  [[nodiscard]] std::int64_t now_ns() const noexcept { return now_ns_; }
  // Sets the clock, back too: a new run starts at the old instant.
  void set(std::int64_t now_ns) noexcept { now_ns_ = now_ns; }

  // While it exists, the thread sees the steady clock again: to wait for what is real.
  class Suspended {
   public:
    Suspended() noexcept;
    Suspended(const Suspended&) = delete;
    Suspended& operator=(const Suspended&) = delete;
    ~Suspended();

   private:
    VirtualClock* const suspended_;
  };

  // Whether any thread of the process has one. To be asked before current(), which is dearer.
  [[nodiscard]] static bool anywhere() noexcept {
    return count_.load(std::memory_order_relaxed) != 0;
  }
  // That of the calling thread, or nullptr.
  [[nodiscard, gnu::noinline]] static VirtualClock* current() noexcept;

 private:
  // Not an Atomic of the seam (atomic.h): it is part of no protocol. A thread sees its own store.
  inline static std::atomic<int> count_{0};

  std::int64_t now_ns_;
};

}  // namespace rearm::detail
