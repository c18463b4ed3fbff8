// Signals that a fiber waits for. The pipe that stands for signalfd() elsewhere is tested here,
// too.
#include "rearm/os/signal_set.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "net/net_fixture.h"
#include "os/signal_source.h"
#include "support/threads.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::ScopedSignal;

std::atomic<int> handled{0};

class SignalSetTest : public test::RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    open({.workers = 2});
    handled = 0;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask_before_);
  }
  void TearDown() override {
    EXPECT_EQ(blocked(), members(mask_before_));
    RuntimeTest::TearDown();
  }

  static std::set<int> members(const sigset_t& signals) {
    std::set<int> numbers;
    for (int number = 1; number < detail::kSignalNumbers; ++number) {
      if (sigismember(&signals, number) == 1) numbers.insert(number);
    }
    return numbers;
  }
  // In the calling thread.
  static std::set<int> blocked() {
    sigset_t mask{};
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return members(mask);
  }

  Result<SignalSet> open_set(std::initializer_list<int> signals) {
    return SignalSet::open(signals, runtime());
  }

  // What becomes of a signal that no set has.
  const ScopedSignal former1_{SIGUSR1, [](int) { ++handled; }};
  const ScopedSignal former2_{SIGUSR2, [](int) { ++handled; }};

 private:
  sigset_t mask_before_{};
};

TEST_F(SignalSetTest, AFiberWaitsForSignals) {
  SignalSet signals = open_set({SIGUSR1, SIGUSR2, SIGUSR1}).value();
  run([&] {
    std::thread sender([] {
      test::let_it_sleep();
      ::kill(::getpid(), SIGUSR2);
    });
    EXPECT_EQ(signals.wait(test::patience()), SIGUSR2);
    sender.join();
    ::kill(::getpid(), SIGUSR1);
    EXPECT_EQ(signals.wait(test::patience()), SIGUSR1);
    EXPECT_EQ(signals.wait(Deadline::after(1ms)).error(), Errc::kTimedOut);
    EXPECT_TRUE(signals.close());
  });
  EXPECT_EQ(handled, 0);
}

TEST_F(SignalSetTest, ASignalBeforeTheWaitIsRemembered) {
  SignalSet signals = open_set({SIGUSR1}).value();
  ::kill(::getpid(), SIGUSR1);
  EXPECT_EQ(signals.wait(test::patience()), SIGUSR1) << "on a plain thread";
  ::kill(::getpid(), SIGUSR1);
  run([&] { EXPECT_EQ(signals.wait(test::patience()), SIGUSR1); });
}

// None is lost, wherever the threads are when it comes: asleep in the kernel, about to sleep, in a
// fiber.
TEST_F(SignalSetTest, NoSignalIsMissedByBusyWorkers) {
  SignalSet signals = open_set({SIGUSR1}).value();
  std::atomic<int> taken{0};
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    for (int sent = 0; sent < 300 && !stop; ++sent) {
      ::kill(::getpid(), SIGUSR1);
      while (taken <= sent && !stop) std::this_thread::yield();
    }
  });
  run([&] {
    auto sleeper = spawn([&] {
      while (!stop && this_fiber::sleep_for(50us)) this_fiber::yield();
    });
    while (taken < 300) {
      if (signals.wait(test::patience()) != SIGUSR1) {
        ADD_FAILURE() << "lost after " << taken;
        break;
      }
      ++taken;
    }
    stop = true;
    sleeper.join();
  });
  sender.join();
}

TEST_F(SignalSetTest, CloseEndsAWaitAndGivesTheSignalsBack) {
  std::optional<SignalSet> signals = open_set({SIGUSR1}).value();
  run([&] {
    auto waiting = spawn([&] { return signals->wait(test::patience()); });
    EXPECT_TRUE(this_fiber::sleep_for(5ms));
    EXPECT_TRUE(signals->close());
    EXPECT_EQ(waiting.join().error(), Errc::kClosed);
    EXPECT_EQ(signals->wait(test::patience()).error(), Errc::kClosed);
    EXPECT_EQ(signals->close().error(), Errc::kClosed);
  });
  // The closing fiber may have run on another thread than this one, which opened it.
  signals.reset();
  ::pthread_kill(::pthread_self(), SIGUSR1);
  EXPECT_EQ(handled, 1);
}

TEST_F(SignalSetTest, DestroyingItClosesItAndMovingDoesNot) {
  SignalSet first = open_set({SIGUSR1}).value();
  SignalSet second = std::move(first);
  EXPECT_EQ(first.wait(Deadline::after(1ms)).error(),  // NOLINT(bugprone-use-after-move): told.
            Errc::kClosed);
  ::kill(::getpid(), SIGUSR1);
  EXPECT_EQ(second.wait(test::patience()), SIGUSR1);
  second = SignalSet();
  ::pthread_kill(::pthread_self(), SIGUSR1);
  EXPECT_EQ(handled, 1);
}

// The closed set is destroyed when the new one has the signals already.
TEST_F(SignalSetTest, ASetCanBeOpenedAgainIntoTheSameObject) {
  SignalSet signals = open_set({SIGUSR1}).value();
  EXPECT_TRUE(signals.close());
  signals = open_set({SIGUSR1}).value();
  ::kill(::getpid(), SIGUSR1);
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(signals.wait(test::patience()), SIGUSR1);
}

TEST_F(SignalSetTest, ASignalHasOneSet) {
  SignalSet first = open_set({SIGUSR1}).value();
  EXPECT_EQ(open_set({SIGUSR2, SIGUSR1}).error(), Errc::kBusy);
  SignalSet second = open_set({SIGUSR2}).value();
  EXPECT_TRUE(first.close());
  EXPECT_TRUE(open_set({SIGUSR1}));
}

TEST_F(SignalSetTest, WhatCannotBeTakenIsRefused) {
  for (const int number : {0, -1, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGPIPE,
                           detail::kSignalNumbers, 1 << 30, std::numeric_limits<int>::min()}) {
    EXPECT_EQ(open_set({SIGUSR1, number}).error(), Errc::kInvalidArgument) << number;
  }
  EXPECT_EQ(open_set({}).error(), Errc::kInvalidArgument);
  EXPECT_TRUE(open_set({SIGUSR1})) << "what was refused has let go of it";
}

TEST_F(SignalSetTest, OnAFiberItIsRefusedWhereOtherWorkersWouldNotSeeIt) {
  run([&] {
#if defined(__linux__)
    EXPECT_EQ(open_set({SIGUSR1}).error(), Errc::kNotSupported);
#else
    EXPECT_TRUE(open_set({SIGUSR1}));
#endif
  });
  Runtime alone({.workers = 1});
  alone.run([&] {
    SignalSet signals = SignalSet::open({SIGUSR1}, alone).value();
    ::kill(::getpid(), SIGUSR1);
    EXPECT_EQ(signals.wait(test::patience()), SIGUSR1);
  });
}

TEST_F(SignalSetTest, WithoutDescriptorsNothingHasChanged) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto refused = open_set({SIGUSR1});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(refused.error(), std::errc::too_many_files_open);
  ::pthread_kill(::pthread_self(), SIGUSR1);
  EXPECT_EQ(handled, 1);
  EXPECT_TRUE(open_set({SIGUSR1}));
}

// --- What other systems have instead of signalfd(). ---

class SignalPipeTest : public SignalSetTest {
 protected:
  void SetUp() override {
    SignalSetTest::SetUp();
    sigset_t signals{};
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    ASSERT_FALSE(pipe_.open(signals));
    stream_ = Stream::adopt(pipe_.release_number(), runtime()).value();
  }

  void TearDown() override {
    stream_ = Stream();
    SignalSetTest::TearDown();
  }

  Result<int> read(Deadline deadline = test::patience()) {
    return detail::SignalPipe::read(stream_, deadline);
  }

  detail::SignalPipe pipe_;
  Stream stream_;
};

TEST_F(SignalPipeTest, TellsWhichSignalCame) {
  errno = 1234;
  ASSERT_EQ(::raise(SIGUSR2), 0);
  EXPECT_EQ(errno, 1234);
  EXPECT_EQ(read(), SIGUSR2);
  ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(read(), SIGUSR1);
  EXPECT_EQ(read(Deadline::after(1ms)).error(), Errc::kTimedOut);
  pipe_.let_go();
  EXPECT_EQ(handled, 0);
}

TEST_F(SignalPipeTest, GivesTheFormerActionsBack) {
  pipe_.let_go();
  ASSERT_EQ(::raise(SIGUSR1), 0);
  ASSERT_EQ(::raise(SIGUSR2), 0);
  EXPECT_EQ(handled, 2);
  EXPECT_EQ(read().error(), Errc::kClosed);
}

TEST_F(SignalPipeTest, AFullPipeDropsWhatIsOneTooMany) {
#if defined(F_SETPIPE_SZ)
  ::fcntl(stream_.native_handle(), F_SETPIPE_SZ, 4096);
  constexpr int kTooMany = 5'000;
#else
  constexpr int kTooMany = 70'000;
#endif
  for (int i = 0; i < kTooMany; ++i) ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(read(), SIGUSR1);
  pipe_.let_go();
}

}  // namespace
}  // namespace rearm
