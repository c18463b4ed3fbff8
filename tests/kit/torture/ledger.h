// Ledger: what was done, what came back, and who is waiting for what since when.
//
// Every actor, a fiber or a plain thread, owns an Actor: a slot in the ledger that says which
// operation it is inside of. A watchdog thread reads the slots; an operation that takes longer than
// the patience of the run is a lost wake-up until proven otherwise, and ends the process with its
// name. No operation of this program waits for something that nobody is going to do.
//
// fail() ends the process at once, from wherever it is called: what the library does after it broke
// a promise says nothing more. The message names the seed and the command that repeats the run.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rearm/error.h"

namespace rearm::torture {

enum class Op : std::uint8_t {
  kConnect,
  kAccept,
  kRead,
  kWrite,
  kShutdown,
  kClose,
  kReset,
  kSetDeadline,
  kRelease,
  kAdopt,
  kIntrude,
  kPipeRead,
  kPipeWrite,
  kSend,
  kReceive,
  kSleep,
  kSpawn,
  kJoin,
  kLoad,
  kOutsideConnect,
  kOutsideRead,
  kOutsideWrite,
  kOutsideEnd,
  kNumber,
  kDuel,
  kHold,
  kCount
};

[[nodiscard]] const char* name_of(Op op);

[[nodiscard]] inline std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

class Ledger {
 public:
  struct Slot {
    std::atomic<std::int64_t> since_ns{0};  // 0: inside no operation.
    std::atomic<Op> op{Op::kCount};
    std::atomic<std::uint32_t> id{0};
    std::atomic<const char*> role{""};
  };

  // `describe` says in words what a connection's number stands for.
  Ledger(std::string repeat, std::chrono::nanoseconds patience,
         std::function<std::string(std::uint32_t)> describe);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  void count(Op op, std::uint64_t n = 1) noexcept {
    counts_[static_cast<std::size_t>(op)].fetch_add(n, std::memory_order_relaxed);
  }
  void count_error(Op op, std::error_code error);
  void count_bytes(std::uint64_t n) noexcept { bytes_.fetch_add(n, std::memory_order_relaxed); }

  // Prints the sentence, the seed and the command that repeats it, and ends the process.
  [[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));

  // What fail() prints besides; empty by default.
  void on_failure(std::function<std::string()> more);

  [[nodiscard]] std::uint64_t done(Op op) const noexcept {
    return counts_[static_cast<std::size_t>(op)].load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t operations() const;
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  void print() const;

  [[nodiscard]] Slot& take_slot(const char* role);
  void give_slot(Slot& slot);

 private:
  void watch();
  [[nodiscard]] std::string waiting(std::int64_t longer_than_ns);

  const std::string repeat_;
  const std::chrono::nanoseconds patience_;
  const std::function<std::string(std::uint32_t)> describe_;
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Op::kCount)> counts_{};
  std::atomic<std::uint64_t> bytes_{0};

  mutable std::mutex mu_;
  std::map<std::pair<Op, std::string>, std::uint64_t> errors_;
  std::deque<Slot> slots_;
  std::vector<Slot*> free_;
  std::function<std::string()> more_;
  bool failed_ = false;
  bool over_ = false;
  std::condition_variable end_;
  std::thread watchdog_;
};

// One fiber or thread, and what it is doing. For its owner alone.
class Actor {
 public:
  Actor(Ledger& ledger, const char* role, std::uint32_t id = 0)
      : ledger_(ledger), slot_(ledger.take_slot(role)) {
    is(id);
  }
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor() { ledger_.give_slot(slot_); }

  void is(std::uint32_t id) noexcept { slot_.id.store(id, std::memory_order_relaxed); }

  // Does an operation under the watchdog's eyes and counts how it ended.
  template <class Call>
  auto operator()(Op op, Call&& call) {
    begin(op);
    auto result = std::forward<Call>(call)();
    end(op);
    if (!result) ledger_.count_error(op, result.error());
    return result;
  }

  // For operations that consist of several calls. begin() again means: there was progress.
  void begin(Op op) noexcept {
    slot_.op.store(op, std::memory_order_relaxed);
    slot_.since_ns.store(now_ns(), std::memory_order_release);
  }
  void end(Op op) noexcept {
    slot_.since_ns.store(0, std::memory_order_release);
    ledger_.count(op);
  }

 private:
  Ledger& ledger_;
  Ledger::Slot& slot_;
};

}  // namespace rearm::torture
