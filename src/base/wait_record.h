// WaitRecord: what somebody waits for, for others to read.
//
// What this is. An act (reading, joining), the number of what it is done to, since when, and from
// where. It is written at every wait, in production too: a program that hangs is looked at from
// another thread, from a signal handler, or from a core file, and none of these can ask.
//
// How it works. One thread writes, anybody reads, nobody waits: the writer counts its waits up
// before it writes the rest, and a reader that sees the same count before and after has read one
// wait and not halves of two. All words are atomic and lock-free, so a handler may interrupt the
// writer anywhere; what it then reads is this wait, or that there is none.
//
// Order. Stores release and loads acquire: a reader that sees any word of a wait sees its count,
// too. On x86 these are plain moves.
//
// Rejected. The frame of the wait as the place for it: it may be gone under the reader. A kind by
// number: each room has verbs of its own, and a core file would have to be told which.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace rearm::detail {

// What is done. An object of static storage for each, in the room that does it.
struct Act {
  const char* name;                     // "read"
  const char* object_mark = "";         // In front of the object's number.
  const char* ready = "ready";          // What is said of a wait that came to its end,
  const char* timed_out = "timed out";  // or to that of its deadline.
};

// `object`: the number of a descriptor or a fiber; 0 for none. `where`: an address in the code that
// called the library, or nullptr.
struct WaitingFor {
  const Act* act;
  std::int64_t object = 0;
  const void* where = nullptr;
};

class WaitRecord {
 public:
  struct Entry {
    WaitingFor what;
    std::int64_t since_ns;
  };

  WaitRecord() noexcept = default;
  WaitRecord(const WaitRecord&) = delete;
  WaitRecord& operator=(const WaitRecord&) = delete;

  // By one thread at a time.
  void begin(const WaitingFor& what, std::int64_t since_ns) noexcept {
    count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    object_.store(what.object, std::memory_order_release);
    where_.store(what.where, std::memory_order_release);
    since_ns_.store(since_ns, std::memory_order_release);
    act_.store(what.act, std::memory_order_release);
  }
  void end() noexcept { act_.store(nullptr, std::memory_order_release); }

  // What is waited for just now, or nothing. From any thread, and from a signal handler. REQUIRES:
  // the memory is still that of a record.
  [[nodiscard]] std::optional<Entry> read() const noexcept {
    // A writer that goes from wait to wait faster than one can read does not hang.
    for (int tries = 0; tries < 10; ++tries) {
      const std::uint32_t before = count_.load(std::memory_order_acquire);
      const Entry entry{.what = {.act = act_.load(std::memory_order_acquire),
                                 .object = object_.load(std::memory_order_acquire),
                                 .where = where_.load(std::memory_order_acquire)},
                        .since_ns = since_ns_.load(std::memory_order_acquire)};
      if (entry.what.act == nullptr) return std::nullopt;
      if (count_.load(std::memory_order_relaxed) == before) return entry;
    }
    return std::nullopt;
  }

 private:
  // Not Atomics of the seam (atomic.h): they are part of no protocol.
  std::atomic<const Act*> act_{nullptr};
  std::atomic<std::int64_t> object_{0};
  std::atomic<std::int64_t> since_ns_{0};
  std::atomic<const void*> where_{nullptr};
  std::atomic<std::uint32_t> count_{0};
};

static_assert(std::atomic<std::int64_t>::is_always_lock_free);

}  // namespace rearm::detail
