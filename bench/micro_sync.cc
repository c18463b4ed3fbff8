// The verbs of the room sync, one by one; see micro.cc.

#include <atomic>
#include <cstdint>

#include <benchmark/benchmark.h>

#include "rearm/rearm.h"

namespace {

// NOLINTBEGIN(readability-identifier-naming): benchmarks are named BM_<act>.

using rearm::this_fiber::yield;

void set_ops(benchmark::State& state, int ops) { state.counters["ops"] = ops; }

// --- Locks. ---

void BM_mutex_uncontended(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    rearm::Mutex mutex;
    for (auto _ : state) {
      mutex.lock();
      mutex.unlock();
    }
  });
  state.SetLabel("BM_floor_mutex");
}
BENCHMARK(BM_mutex_uncontended);

// Each of two fibers gives way while it holds the lock, so that the other one waits for it. An act
// is one hand-over, with the two switches that it takes.
void BM_mutex_hand_over(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    rearm::Mutex mutex;
    bool stop = false;
    const auto hold = [&] {
      mutex.lock();
      yield();
      mutex.unlock();
    };
    auto other = rearm::spawn([&] {
      while (!stop) hold();
    });
    for (auto _ : state) hold();
    stop = true;
    other.join();
  });
  set_ops(state, 2);
  state.SetLabel("BM_floor_jump_fcontext");
}
BENCHMARK(BM_mutex_hand_over);

void BM_semaphore_uncontended(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    rearm::Semaphore semaphore(1);
    for (auto _ : state) {
      benchmark::DoNotOptimize(semaphore.acquire());
      semaphore.release();
    }
  });
  state.SetLabel("BM_floor_mutex");
}
BENCHMARK(BM_semaphore_uncontended);

// Two fibers wake each other in turns; an act is one switch.
void BM_semaphore_ping_pong(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    rearm::Semaphore ping(0);
    rearm::Semaphore pong(0);
    bool stop = false;
    auto other = rearm::spawn([&] {
      while (ping.acquire() && !stop) pong.release();
    });
    for (auto _ : state) {
      ping.release();
      benchmark::DoNotOptimize(pong.acquire());
    }
    stop = true;
    ping.release();
    other.join();
  });
  set_ops(state, 2);
  state.SetLabel("BM_floor_jump_fcontext");
}
BENCHMARK(BM_semaphore_ping_pong);

// --- Channels. ---

void BM_channel_ping_pong(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    rearm::Channel<std::uint64_t> ping;
    rearm::Channel<std::uint64_t> pong;
    auto other = rearm::spawn([&] {
      for (const std::uint64_t value : ping) benchmark::DoNotOptimize(pong.send(value));
    });
    std::uint64_t value = 0;
    for (auto _ : state) {
      benchmark::DoNotOptimize(ping.send(++value));
      benchmark::DoNotOptimize(pong.receive());
    }
    (void)ping.close();
    other.join();
  });
  set_ops(state, 2);
  state.SetLabel("BM_floor_jump_fcontext");
}
BENCHMARK(BM_channel_ping_pong);

// One sender, one receiver, of one worker; an act is one value.
void BM_channel_bounded(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    rearm::Channel<std::uint64_t> channel(64);
    auto other = rearm::spawn([&] {
      std::uint64_t sum = 0;
      for (const std::uint64_t value : channel) sum += value;
      benchmark::DoNotOptimize(sum);
    });
    std::uint64_t value = 0;
    for (auto _ : state) benchmark::DoNotOptimize(channel.send(++value));
    (void)channel.close();
    other.join();
  });
}
BENCHMARK(BM_channel_bounded);

// --- Stops and groups. ---

// A fiber that sleeps is asked to stop and runs again; with its spawn and join.
void BM_spawn_stop_join(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    rearm::Event never;
    for (auto _ : state) {
      auto fiber = rearm::spawn([&] { benchmark::DoNotOptimize(never.wait()); });
      yield();
      fiber.request_stop();
      fiber.join();
    }
  });
  state.SetLabel("BM_spawn_join");
}
BENCHMARK(BM_spawn_stop_join);

void BM_group_spawn_join(benchmark::State& state) {
  constexpr std::int64_t kTasks = 64;
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    while (state.KeepRunningBatch(kTasks)) {
      rearm::TaskGroup group;
      for (std::int64_t i = 0; i < kTasks; ++i) benchmark::DoNotOptimize(group.spawn([] {}));
      benchmark::DoNotOptimize(group.join());
    }
  });
  state.SetLabel("BM_spawn_join");
}
BENCHMARK(BM_group_spawn_join);

// NOLINTEND(readability-identifier-naming)

}  // namespace
