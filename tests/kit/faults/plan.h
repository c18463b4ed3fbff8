// FaultPlan: which of the library's system calls fail in a run, and how.
//
// What this is. A run counts the calls that the library makes. A plan is either
//   nothing   no call fails: it counts;
//   seeded    each call fails with some probability, drawn from the seed and the call's number;
//   nth       the n-th call fails with the k-th of the faults that its manual allows, no other;
//   first     the first call of a name fails with one error, no other.
//
// Progress. Of one call not more than kMaxBurst in a row fail, so that a loop that is right ends.
// Faults that are to go unnoticed are frequent, those that end an operation rare: a server whose
// every connection breaks exercises nothing else.
//
// Replay. A seed decides what happens to call number n; with several threads, which call that is
// may differ from run to run. describe() is all that is needed to run it again.
//
// Thread safety: decide() from any thread; the rest while no runtime runs.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "faults/calls.h"
#include "faults/fault_table.h"

namespace rearm::test::faults {

// What a call is told to do, and a random number for the details.
struct Decision {
  const Fault* fault = nullptr;
  std::uint64_t random = 0;

  explicit operator bool() const noexcept { return fault != nullptr; }
  [[nodiscard]] bool is(How how) const noexcept { return fault != nullptr && fault->how == how; }
};

struct Rates {
  unsigned silent_per_mille = 150;
  unsigned reported_per_mille = 8;
};

class FaultPlan {
 public:
  static FaultPlan nothing() { return FaultPlan(Kind::kNothing, 0, 0, {}); }
  static FaultPlan seeded(std::uint64_t seed, Rates rates = {}) {
    return FaultPlan(Kind::kSeeded, seed, 0, rates);
  }
  // `n` counts from 1, `k` from 0.
  static FaultPlan nth(std::uint64_t n, std::size_t k) { return FaultPlan(Kind::kNth, n, k, {}); }
  static FaultPlan first(Call call, int error) {
    return FaultPlan(Kind::kFirst, static_cast<std::uint64_t>(call),
                     static_cast<std::size_t>(error), {});
  }
  FaultPlan(const FaultPlan&) = delete;
  FaultPlan& operator=(const FaultPlan&) = delete;

  [[nodiscard]] Decision decide(Call call, Where where);

  // --- After the run. ---

  [[nodiscard]] std::uint64_t calls() const noexcept { return calls_.load(); }
  [[nodiscard]] std::uint64_t calls_of(Call call) const noexcept {
    return count_[static_cast<std::size_t>(call)].load();
  }
  [[nodiscard]] std::uint64_t injected() const noexcept { return injected_.load(); }
  // How many of them end an operation.
  [[nodiscard]] std::uint64_t reported() const noexcept { return reported_.load(); }
  // Whether one of `calls` was made to report `error`.
  [[nodiscard]] bool has_reported(Calls calls, int error) const;
  [[nodiscard]] bool has_reported(Calls calls) const { return has_reported(calls, 0); }

  // The plan and what it did, for people.
  [[nodiscard]] std::string describe() const;

 private:
  enum class Kind : std::uint8_t { kNothing, kSeeded, kNth, kFirst };

  struct Injection {
    std::uint64_t n;
    Call call;
    const Fault* fault;
  };

  static constexpr unsigned kMaxBurst = 3;

  FaultPlan(Kind kind, std::uint64_t number, std::size_t k, Rates rates)
      : kind_(kind), number_(number), k_(k), rates_(rates) {}

  [[nodiscard]] const Fault* choose(Call call, Where where, std::uint64_t n, std::uint64_t random);
  void note(std::uint64_t n, Call call, const Fault& fault);

  const Kind kind_;
  const std::uint64_t number_;  // The seed; n; the call.
  const std::size_t k_;         // k; the error.
  const Rates rates_;

  std::atomic<std::uint64_t> calls_{0};
  std::atomic<std::uint64_t> injected_{0};
  std::atomic<std::uint64_t> reported_{0};
  std::array<std::atomic<std::uint64_t>, kCalls> count_{};
  std::array<std::atomic<unsigned>, kCalls> burst_{};

  mutable std::mutex mu_;
  std::vector<Injection> log_;
};

// What all plans of this process have injected, by call.
[[nodiscard]] std::uint64_t total_calls(Call call);
[[nodiscard]] std::uint64_t total_injected(Call call);

}  // namespace rearm::test::faults
