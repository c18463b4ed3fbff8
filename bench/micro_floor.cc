// The floors: what each act costs when nothing is around it. A benchmark of the library names its
// floor in its label. This is the only file of bench/ that uses Boost directly.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include <benchmark/benchmark.h>
#include <boost/context/detail/fcontext.hpp>

#include "futex.h"
#include "support.h"

namespace {

// NOLINTBEGIN(readability-identifier-naming): benchmarks are named BM_<act>.

using bench::OwnedFd;
namespace fcontext = boost::context::detail;

constexpr std::size_t kStackBytes = 64 * 1024;

// Says how many acts one iteration makes.
void set_ops(benchmark::State& state, int ops) { state.counters["ops"] = ops; }

void jump_back_for_ever(fcontext::transfer_t from) {
  for (;;) from = fcontext::jump_fcontext(from.fctx, nullptr);
}

void BM_floor_jump_fcontext(benchmark::State& state) {
  const auto stack = std::make_unique<std::byte[]>(kStackBytes);
  auto context =
      fcontext::make_fcontext(stack.get() + kStackBytes, kStackBytes, jump_back_for_ever);
  for (auto _ : state) context = fcontext::jump_fcontext(context, nullptr).fctx;
  set_ops(state, 2);
}
BENCHMARK(BM_floor_jump_fcontext);

// The two above jump from two loops as well, but nothing returns there. Here the loops call one
// function that jumps, as they would call any yield, and the processor mispredicts its return.
[[gnu::noinline]] fcontext::fcontext_t jump_and_return(fcontext::fcontext_t to) {
  const auto back = fcontext::jump_fcontext(to, nullptr).fctx;
  benchmark::ClobberMemory();  // or the compiler would make the call a jump
  return back;
}

void return_for_ever(fcontext::transfer_t from) {
  for (;;) from.fctx = jump_and_return(from.fctx);
}

void BM_floor_jump_fcontext_in_two_loops(benchmark::State& state) {
  const auto stack = std::make_unique<std::byte[]>(kStackBytes);
  auto context = fcontext::make_fcontext(stack.get() + kStackBytes, kStackBytes, return_for_ever);
  for (auto _ : state) context = jump_and_return(context);
  set_ops(state, 2);
}
BENCHMARK(BM_floor_jump_fcontext_in_two_loops);

// A context on a stack that is at hand, entered and left once: what is left of spawn and join
// without queues, results and exceptions.
void BM_floor_pooled_context(benchmark::State& state) {
  const auto stack = std::make_unique<std::byte[]>(kStackBytes);
  for (auto _ : state) {
    const auto context =
        fcontext::make_fcontext(stack.get() + kStackBytes, kStackBytes, jump_back_for_ever);
    benchmark::DoNotOptimize(fcontext::jump_fcontext(context, nullptr));
  }
}
BENCHMARK(BM_floor_pooled_context);

void BM_floor_system_call(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(syscall(SYS_getppid));
}
BENCHMARK(BM_floor_system_call);

void BM_floor_clock_gettime(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(bench::now_ns());
}
BENCHMARK(BM_floor_clock_gettime);

void BM_floor_mutex(benchmark::State& state) {
  std::mutex mutex;
  for (auto _ : state) {
    mutex.lock();
    benchmark::ClobberMemory();
    mutex.unlock();
  }
}
BENCHMARK(BM_floor_mutex);

// Three changes of one word, each by a compare-and-swap: what a wait that is prepared, committed
// and ended costs at least.
void BM_floor_three_exchanges(benchmark::State& state) {
  std::atomic<std::uintptr_t> word{0};
  for (auto _ : state) {
    for (std::uintptr_t expected = 0; expected < 3; ++expected) {
      std::uintptr_t old = expected;
      word.compare_exchange_strong(old, expected == 2 ? 0 : expected + 1);
    }
  }
}
BENCHMARK(BM_floor_three_exchanges);

// An epoll with one eventfd in it, edge-triggered.
class EpollWithEventfd {
 public:
  EpollWithEventfd() : epoll_(epoll_create1(EPOLL_CLOEXEC)), eventfd_(eventfd(0, EFD_NONBLOCK)) {
    control(EPOLL_CTL_ADD);
  }

  void control(int operation) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    if (epoll_ctl(epoll_.get(), operation, eventfd_.get(), &event) != 0) {
      bench::die_errno("epoll_ctl");
    }
  }
  void write_one() {
    const std::uint64_t one = 1;
    if (write(eventfd_.get(), &one, sizeof one) != sizeof one) bench::die_errno("write");
  }
  int wait_nothing() {
    epoll_event event{};
    return epoll_wait(epoll_.get(), &event, 1, 0);
  }

 private:
  OwnedFd epoll_;
  OwnedFd eventfd_;
};

void BM_floor_epoll_ctl_mod(benchmark::State& state) {
  EpollWithEventfd epoll;
  for (auto _ : state) epoll.control(EPOLL_CTL_MOD);
}
BENCHMARK(BM_floor_epoll_ctl_mod);

void BM_floor_eventfd_wake(benchmark::State& state) {
  EpollWithEventfd epoll;
  for (auto _ : state) {
    epoll.write_one();
    benchmark::DoNotOptimize(epoll.wait_nothing());
  }
}
BENCHMARK(BM_floor_eventfd_wake);

// 64 descriptors that are ready at every wait, because they are level-triggered.
void BM_floor_epoll_wait_64(benchmark::State& state) {
  constexpr int kCount = 64;
  const OwnedFd epoll(epoll_create1(EPOLL_CLOEXEC));
  std::array<OwnedFd, kCount> fds;
  for (OwnedFd& fd : fds) {
    fd = OwnedFd(eventfd(1, EFD_NONBLOCK));
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) bench::die_errno("epoll_ctl");
  }
  std::array<epoll_event, kCount> events{};
  for (auto _ : state) {
    if (epoll_wait(epoll.get(), events.data(), kCount, 0) != kCount) {
      state.SkipWithError("not every descriptor was ready");
      break;
    }
  }
  set_ops(state, kCount);
}
BENCHMARK(BM_floor_epoll_wait_64);

void BM_floor_socket_pair(benchmark::State& state) {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) != 0) {
    bench::die_errno("socketpair");
  }
  const OwnedFd near(fds[0]);
  const OwnedFd far(fds[1]);
  std::array<char, 64> bytes{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(send(near.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    benchmark::DoNotOptimize(read(far.get(), bytes.data(), bytes.size()));
  }
}
BENCHMARK(BM_floor_socket_pair);

// Two threads hand a token to each other; one act is one hand-over.
void BM_floor_futex_hand_over(benchmark::State& state) {
  bench::Token ping;
  bench::Token pong;
  std::atomic<bool> stop{false};
  std::thread other([&] {
    for (;;) {
      ping.take();
      if (stop) return;
      pong.give();
    }
  });
  for (auto _ : state) {
    ping.give();
    pong.take();
  }
  stop = true;
  ping.give();
  other.join();
  set_ops(state, 2);
}
BENCHMARK(BM_floor_futex_hand_over)->UseRealTime();

// NOLINTEND(readability-identifier-naming)

}  // namespace
