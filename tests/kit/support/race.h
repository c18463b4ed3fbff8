// race(): lets several threads run into each other, over and over.
//
// Threads are started once and meet at a spinning gate before and after each round, because
// starting a thread takes a thousand times longer than the window that a race test wants to hit.
// Each racer starts with a small random delay, so that all interleavings get their turn.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace rearm::test {

inline void pause_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A spinning barrier. After a while it yields, because there may be fewer cores than racers.
class Gate {
 public:
  explicit Gate(unsigned parties) : parties_(parties) {}

  void meet() noexcept {
    const unsigned phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties_) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    constexpr int kSpins = 500;
    for (int i = 0; phase_.load(std::memory_order_acquire) == phase; ++i) {
      if (i < kSpins) {
        pause_cpu();
      } else {
        ::sched_yield();
      }
    }
  }

 private:
  const unsigned parties_;
  std::atomic<unsigned> arrived_{0};
  std::atomic<unsigned> phase_{0};
};

// A random delay of up to a microsecond, often none.
class Jitter {
 public:
  explicit Jitter(std::uint32_t seed) : state_(seed * 2'654'435'761U + 1) {}

  void delay() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    const std::uint32_t longest = 1U << (state_ >> 8) % 6;
    for (std::uint32_t i = state_ % longest; i > 0; --i) pause_cpu();
  }

 private:
  std::uint32_t state_;
};

// How many rounds are run between two meetings of the threads. Each has a state of its own, so that
// nobody has to wait in between; the array of states is the test's.
inline constexpr std::size_t kLanes = 8;

// Keeps racers whose steps differ in length on the same lane. Whoever is ahead waits a little, but
// not for a thread that has no processor. Relaxed, so that ThreadSanitizer is given no order.
class Pace {
 public:
  explicit Pace(std::size_t racers) : steps_(racers) {}

  void step(std::size_t racer) noexcept {
    const std::uint64_t mine = steps_[racer].fetch_add(1, std::memory_order_relaxed) + 1;
    constexpr int kSpins = 200;
    for (const std::atomic<std::uint64_t>& other : steps_) {
      for (int i = 0; i < kSpins && other.load(std::memory_order_relaxed) < mine; ++i) pause_cpu();
    }
  }

 private:
  std::vector<std::atomic<std::uint64_t>> steps_;
};

using RaceStep = std::function<void(std::size_t lane)>;

// Runs rounds of: `before` alone, then all racers at once, then `after` alone. The first racer,
// `before` and `after` run on the calling thread. Stops at the first failure.
inline void race(std::uint64_t rounds, const RaceStep& before, const std::vector<RaceStep>& racers,
                 const RaceStep& after) {
  Gate gate(static_cast<unsigned>(racers.size()));
  Pace pace(racers.size());
  std::atomic<bool> over{false};
  const auto run = [&](std::size_t racer, Jitter& jitter) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      pace.step(racer);
      jitter.delay();
      racers[racer](lane);
    }
    gate.meet();
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < racers.size(); ++i) {
    threads.emplace_back([&, i] {
      Jitter jitter(static_cast<std::uint32_t>(i));
      for (;;) {
        gate.meet();
        if (over.load(std::memory_order_relaxed)) return;
        run(i, jitter);
      }
    });
  }
  Jitter jitter(0);
  for (std::uint64_t done = 0; done < rounds && !::testing::Test::HasFailure(); done += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) before(lane);
    gate.meet();
    run(0, jitter);
    for (std::size_t lane = 0; lane < kLanes; ++lane) after(lane);
  }
  over.store(true, std::memory_order_relaxed);
  gate.meet();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace rearm::test
