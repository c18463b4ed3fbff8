// The verbs one by one: BM_<act> for each, with the name of its floor (micro_floor.cc) as label.
// Acts of the poller and the words are measured on one thread, where they are uncontended; acts of
// fibers on a runtime with one worker. Reaches into src/, where the verbs live.

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/wait_word.h"
#include "rearm/poller.h"
#include "rearm/rearm.h"
#include "sched/stack_context.h"
#include "sched/timers.h"
#include "sched/wait.h"
#include "sched/worker.h"
#include "support.h"

namespace {

// NOLINTBEGIN(readability-identifier-naming): benchmarks are named BM_<act>.

using rearm::Deadline;
using rearm::Direction;
using rearm::detail::StackContext;
using rearm::detail::WaitWord;

class NamedWaiter final : public rearm::Waiter {};

void set_ops(benchmark::State& state, int ops) { state.counters["ops"] = ops; }

// An instant long gone: collect() then asks the kernel and does not wait.
Deadline no_wait() { return Deadline::at_ns(1); }

// --- Fibers. ---

struct TwoContexts {
  StackContext outer;
  StackContext inner;
  StackContext::Thread thread;

  void* enter(void* message) { return StackContext::switch_to(outer, inner, thread, message); }
  void* leave() { return StackContext::switch_to(inner, outer, thread, nullptr); }
};

// Goes back at once, as often as it is entered with a message.
StackContext::Exit switch_back(void* message) {
  auto& contexts = *static_cast<TwoContexts*>(message);
  while (contexts.leave() != nullptr) {
  }
  return {.to = &contexts.outer, .thread = &contexts.thread, .message = nullptr};
}

void BM_switch(benchmark::State& state) {
  constexpr std::size_t kStackBytes = std::size_t{64} * 1024;
  const auto stack = std::make_unique<std::byte[]>(kStackBytes);
  TwoContexts contexts;
  contexts.inner.make({.base = stack.get(), .bytes = kStackBytes}, switch_back);
  for (auto _ : state) contexts.enter(&contexts);
  contexts.enter(nullptr);  // lets it exit
  contexts.inner.forget();
  set_ops(state, 2);
  state.SetLabel("BM_floor_jump_fcontext");
}
BENCHMARK(BM_switch);

// Two fibers in the same loop, as fibers of a server are.
[[gnu::noinline]] void take_turns(std::int64_t turns) {
  for (; turns > 0; --turns) rearm::this_fiber::yield();
}

void BM_yield(benchmark::State& state) {
  constexpr std::int64_t kTurns = 1024;
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    bool stop = false;
    auto other = rearm::spawn([&stop] {
      while (!stop) take_turns(kTurns);
    });
    while (state.KeepRunningBatch(kTurns)) take_turns(kTurns);
    stop = true;
    other.join();
  });
  set_ops(state, 2);
  state.SetLabel("BM_floor_jump_fcontext");
}
BENCHMARK(BM_yield);

// In two loops: each yield returns to another place than the processor expects.
void BM_yield_in_two_loops(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    bool stop = false;
    auto other = rearm::spawn([&stop] {
      while (!stop) rearm::this_fiber::yield();
    });
    for (auto _ : state) rearm::this_fiber::yield();
    stop = true;
    other.join();
  });
  set_ops(state, 2);
  state.SetLabel("BM_floor_jump_fcontext_in_two_loops");
}
BENCHMARK(BM_yield_in_two_loops);

void BM_spawn_join(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    for (auto _ : state) rearm::spawn([] {}).join();
  });
  state.SetLabel("BM_floor_pooled_context");
}
BENCHMARK(BM_spawn_join);

// A word that one fiber publishes into and another parks on.
class Signal {
 public:
  void publish() {
    if (const auto found = word_.publish(); found.waiter != nullptr) {
      rearm::detail::Worker::wake(*found.waiter);
    }
  }
  void wait() {
    if (word_.prepare() == WaitWord::Prepared::kPark) {
      benchmark::DoNotOptimize(
          rearm::detail::wait_on(word_, Deadline::never(), rearm::detail::Cancellable::kNo));
    }
  }

 private:
  WaitWord word_;
};

// Answers each ping with a pong until told to stop.
void answer(Signal& ping, Signal& pong, const std::atomic<bool>& stop) {
  for (;;) {
    ping.wait();
    if (stop) return;
    pong.publish();
  }
}

void BM_park_unpark(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  Signal ping;
  Signal pong;
  std::atomic<bool> stop{false};
  runtime.run([&] {
    auto other = rearm::spawn([&] { answer(ping, pong, stop); });
    for (auto _ : state) {
      ping.publish();
      pong.wait();
    }
    stop = true;
    ping.publish();
    other.join();
  });
  set_ops(state, 2);
  state.SetLabel("BM_floor_jump_fcontext");
}
BENCHMARK(BM_park_unpark);

// Two runtimes of one worker each, so that every unpark crosses to a thread that sleeps.
void BM_park_unpark_across_threads(benchmark::State& state) {
  Signal ping;
  Signal pong;
  std::atomic<bool> stop{false};
  std::thread thread([&] {
    rearm::Runtime runtime({.workers = 1});
    runtime.run([&] { answer(ping, pong, stop); });
  });
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&] {
    for (auto _ : state) {
      ping.publish();
      pong.wait();
    }
    stop = true;
    ping.publish();
  });
  thread.join();
  set_ops(state, 2);
  state.SetLabel("BM_floor_futex_hand_over");
}
BENCHMARK(BM_park_unpark_across_threads)->UseRealTime();

// --- Words and timers. ---

void BM_publish(benchmark::State& state) {
  WaitWord word;
  NamedWaiter waiter;
  for (auto _ : state) {
    benchmark::DoNotOptimize(word.prepare());
    benchmark::DoNotOptimize(word.commit(waiter));
    benchmark::DoNotOptimize(word.publish());
  }
  state.SetLabel("BM_floor_three_exchanges");
}
BENCHMARK(BM_publish);

// One timer is set and cancelled among `others` that stand.
void BM_timer_set_cancel(benchmark::State& state) {
  const auto others = static_cast<std::size_t>(state.range(0));
  constexpr std::int64_t kHourNs = 3'600'000'000'000;
  rearm::detail::Timers timers;
  std::vector<std::unique_ptr<WaitWord>> words;
  std::vector<std::unique_ptr<rearm::detail::Timer>> standing;
  for (std::size_t index = 0; index < others; ++index) {
    words.push_back(std::make_unique<WaitWord>());
    standing.push_back(std::make_unique<rearm::detail::Timer>(*words.back()));
    timers.start(*standing.back(), kHourNs + static_cast<std::int64_t>(index));
  }
  WaitWord word;
  rearm::detail::Timer timer(word);
  std::int64_t when_ns = kHourNs;
  for (auto _ : state) {
    timers.start(timer, ++when_ns);
    timers.stop(timer);
  }
  for (const auto& each : standing) timers.stop(*each);
  state.SetLabel("BM_floor_mutex");
}
BENCHMARK(BM_timer_set_cancel)->Arg(0)->Arg(10'000);

// --- The poller. ---

class PollerWithEventfds {
 public:
  explicit PollerWithEventfds(std::size_t count)
      : poller_(rearm::Poller::open().value()), waiters_(count) {
    for (std::size_t index = 0; index < count; ++index) {
      const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
      if (fd < 0) bench::die_errno("eventfd");
      fds_.push_back(fd);
      tokens_.push_back(poller_.add(fd).value());
    }
    (void)poller_.collect(no_wait());  // the reports that adding made
  }
  ~PollerWithEventfds() {
    for (const rearm::Token token : tokens_) {
      (void)poller_.cancel(token, Direction::kRead, rearm::WakeReason::kCancelled);
      (void)poller_.close(token);
    }
  }
  PollerWithEventfds(const PollerWithEventfds&) = delete;
  PollerWithEventfds& operator=(const PollerWithEventfds&) = delete;

  rearm::Poller& poller() { return poller_; }
  [[nodiscard]] rearm::Token token() const { return tokens_.front(); }

  // Every descriptor gets a waiter, and then a reason to wake it.
  void park_and_make_ready() {
    const std::uint64_t one = 1;
    for (std::size_t index = 0; index < fds_.size(); ++index) {
      while (poller_.wait(tokens_[index], Direction::kRead, waiters_[index]).value() !=
             rearm::Poller::Prepared::kParked) {
      }
      if (write(fds_[index], &one, sizeof one) != sizeof one) bench::die_errno("write");
    }
  }

 private:
  rearm::Poller poller_;
  std::vector<NamedWaiter> waiters_;
  std::vector<int> fds_;
  std::vector<rearm::Token> tokens_;
};

// What a wait costs on top of its park: nothing is told to an edge-triggered kernel. The floor is
// what a kernel would have to be told otherwise.
void BM_arm(benchmark::State& state) {
  PollerWithEventfds watched(1);
  rearm::Poller& poller = watched.poller();
  const rearm::Token token = watched.token();
  // Takes what adding published.
  (void)poller.prepare(token, Direction::kRead);
  (void)poller.cancel(token, Direction::kRead, rearm::WakeReason::kCancelled);
  for (auto _ : state) {
    benchmark::DoNotOptimize(poller.prepare(token, Direction::kRead));
    benchmark::DoNotOptimize(poller.arm(token, Direction::kRead));
    benchmark::DoNotOptimize(poller.cancel(token, Direction::kRead, rearm::WakeReason::kCancelled));
  }
  state.SetLabel("BM_floor_epoll_ctl_mod");
}
BENCHMARK(BM_arm);

void BM_wake(benchmark::State& state) {
  PollerWithEventfds watched(1);
  for (auto _ : state) {
    watched.poller().wake();
    benchmark::DoNotOptimize(watched.poller().collect(no_wait()).empty());
  }
  state.SetLabel("BM_floor_eventfd_wake");
}
BENCHMARK(BM_wake);

// From the kernel's report to the list of waiters, for each of 64 that are ready at once.
void BM_collect_64(benchmark::State& state) {
  constexpr int kCount = 64;
  PollerWithEventfds watched(kCount);
  for (auto _ : state) {
    watched.park_and_make_ready();
    const std::int64_t start = bench::now_ns();
    rearm::WaiterList waiters = watched.poller().collect(no_wait());
    state.SetIterationTime(static_cast<double>(bench::now_ns() - start) / 1e9);
    int count = 0;
    while (waiters.pop_front() != nullptr) ++count;
    if (count != kCount) {
      state.SkipWithError("not every waiter came back");
      break;
    }
  }
  set_ops(state, kCount);
  state.SetLabel("BM_floor_epoll_wait_64");
}
BENCHMARK(BM_collect_64)->UseManualTime();

// --- Sockets. ---

// One fiber writes 64 bytes and reads them from the other end: never a wait, so all that is added
// to the two system calls is the library's way to them.
void BM_socket_pair(benchmark::State& state) {
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&state] {
    auto [near, far] = rearm::UnixStream::pair().value();
    std::array<char, 64> bytes{};
    for (auto _ : state) {
      if (!near.write_some(bytes) || !far.read_some(bytes)) {
        state.SkipWithError("the socket pair failed");
        break;
      }
    }
  });
  state.SetLabel("BM_floor_socket_pair");
}
BENCHMARK(BM_socket_pair);

// NOLINTEND(readability-identifier-naming)

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("backend", std::string(rearm::Poller::open().value().backend_name()));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
