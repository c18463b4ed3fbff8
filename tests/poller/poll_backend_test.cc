// PollBackend by itself, at instants that no thread can be made to hit: this program puts itself in
// the place of two system calls.
#include <dlfcn.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "poller/backend_poll.h"
#include "support/leak_check.h"
#include "support/sockets.h"
#include "support/threads.h"

namespace {

thread_local std::function<void()> before_next_read;
int next_poll_says = 0;  // An errno, once.

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

// What a sanitizer that is linked statically calls its interceptors.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the names are theirs.
__attribute__((weak)) ssize_t __interceptor_read(int fd, void* buffer, std::size_t bytes);
__attribute__((weak)) int __interceptor_ppoll(pollfd* fds, nfds_t count, const timespec* timeout,
                                              const sigset_t* mask);
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

ssize_t read(int fd, void* buffer, std::size_t bytes) {
  if (before_next_read) std::exchange(before_next_read, nullptr)();
  if (&__interceptor_read != nullptr) return __interceptor_read(fd, buffer, bytes);
  static const auto real = next<ssize_t (*)(int, void*, std::size_t)>("read");
  return real(fd, buffer, bytes);
}

int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (const int error = std::exchange(next_poll_says, 0); error != 0) {
    errno = error;
    return -1;
  }
  if (&__interceptor_ppoll != nullptr) return __interceptor_ppoll(fds, count, timeout, mask);
  static const auto real =
      next<int (*)(pollfd*, nfds_t, const timespec*, const sigset_t*)>("ppoll");
  return real(fds, count, timeout, mask);
}
}

namespace rearm::test {
namespace {

class PollBackendTest : public LeakCheck {
 protected:
  void SetUp() override {
    LeakCheck::SetUp();
    backend_ = std::make_unique<detail::PollBackend>();
    ASSERT_FALSE(backend_->open());
  }
  void TearDown() override {
    backend_.reset();
    LeakCheck::TearDown();
  }

  // How many events one wait that does not block brings; the first one's token in `token`.
  std::size_t wait(Token* token = nullptr) {
    std::array<detail::Event, 8> events;
    const detail::WaitResult result = backend_->wait(events, Deadline::at_ns(0));
    if (token != nullptr && result.count != 0) *token = events[0].token;
    return result.count;
  }

  std::unique_ptr<detail::PollBackend> backend_;
};

// R71: a report is in the hands of the thread that waits, and no longer in the kernel's, when its
// number is removed, closed, opened again and armed. It must not disarm the number's new life.
TEST_F(PollBackendTest, AReportOfAnEarlierLifeDoesNotDisarmTheNextOne) {
  constexpr Token kOld{.slot = 3, .generation = 5};
  constexpr Token kNew{.slot = 3, .generation = 6};
  UniqueFd old_fd = event_fd(1);
  const int number = old_fd.get();
  UniqueFd new_fd;
  ASSERT_FALSE(backend_->add(number, kOld));
  ASSERT_FALSE(backend_->arm(number, kOld, detail::Ready::of(Direction::kRead)));
  backend_
      ->wake();  // So that the wait empties the pipe after poll() and before it looks at reports.
  before_next_read = [&] {
    backend_->remove(number);
    old_fd.reset();
    new_fd = event_fd(0);
    ASSERT_EQ(new_fd.get(), number);
    ASSERT_FALSE(backend_->add(number, kNew));
    ASSERT_FALSE(backend_->arm(number, kNew, detail::Ready::of(Direction::kRead)));
  };
  Token token;
  EXPECT_EQ(wait(&token), 1U);
  EXPECT_EQ(token, kOld) << "for the poller to find stale";
  ASSERT_FALSE(before_next_read) << "the wait did not read the pipe";

  make_readable(number);
  EXPECT_EQ(wait(&token), 1U) << "the new life is no longer armed";
  EXPECT_EQ(token, kNew);
  backend_->remove(number);
}

// G5: a wake comes while the byte that another thread's arm() wrote is being read. Whoever reads it
// with that byte must not forget the wake.
TEST_F(PollBackendTest, AWakeWhileThePipeIsEmptiedIsHeard) {
  constexpr Token kToken{.slot = 1, .generation = 1};
  const UniqueFd fd = event_fd(0);
  ASSERT_FALSE(backend_->add(fd.get(), kToken));
  Sleeper sleeper;
  bool is_woken = false;
  std::thread waiting([&] {
    before_next_read = [&] { backend_->wake(); };
    sleeper.here();
    std::array<detail::Event, 8> events;
    for (int waits = 0; waits < 2 && !is_woken; ++waits) {
      is_woken = backend_->wait(events, Deadline::after(std::chrono::seconds(10))).woken;
    }
    EXPECT_FALSE(before_next_read) << "the wait did not read the pipe";
  });
  EXPECT_TRUE(sleeper.await_asleep());
  EXPECT_FALSE(backend_->arm(fd.get(), kToken, detail::Ready::of(Direction::kRead)));
  waiting.join();
  EXPECT_TRUE(is_woken) << "the next wait slept";
  backend_->remove(fd.get());
}

// R33, R68: more are ready than a wait may report, again and again. Each has its turn.
TEST_F(PollBackendTest, WhoDoesNotFitHasItsTurnThoughOthersAreReadyAgain) {
  constexpr std::size_t kReady = 5;
  std::array<UniqueFd, kReady> fds;
  const auto token_of = [](std::size_t i) {
    return Token{.slot = static_cast<std::uint32_t>(i), .generation = 1};
  };
  for (std::size_t i = 0; i < kReady; ++i) {
    fds[i] = event_fd(1);
    ASSERT_FALSE(backend_->add(fds[i].get(), token_of(i)));
    ASSERT_FALSE(backend_->arm(fds[i].get(), token_of(i), detail::Ready::of(Direction::kRead)));
  }
  std::array<int, kReady> turns{};
  for (int round = 0; round < 50; ++round) {
    std::array<detail::Event, 1> events;
    ASSERT_EQ(backend_->wait(events, Deadline::at_ns(0)).count, 1U);
    const std::size_t i = events[0].token.slot;
    ++turns[i];
    ASSERT_FALSE(backend_->arm(fds[i].get(), token_of(i), detail::Ready::of(Direction::kRead)));
  }
  for (std::size_t i = 0; i < kReady; ++i) {
    EXPECT_GE(turns[i], 5) << "number " << i << " of 50 turns among five";
    backend_->remove(fds[i].get());
  }
}

// R75: the pipe is full one day. The wake may be called by a signal handler: errno is not its own.
TEST_F(PollBackendTest, ManyWakesNeitherBlockNorTouchErrno) {
  errno = 1234;
  for (int i = 0; i < 70'000; ++i) backend_->wake();
  EXPECT_EQ(errno, 1234);
  std::array<detail::Event, 1> events;
  EXPECT_TRUE(backend_->wait(events, Deadline::never()).woken);
  EXPECT_FALSE(backend_->wait(events, Deadline::at_ns(0)).woken);
}

// R28: poll() may also say that it has no memory; the next wait tells what this one could not.
TEST_F(PollBackendTest, AWaitThatTheKernelRefusesLosesNothing) {
  constexpr Token kToken{.slot = 1, .generation = 1};
  const UniqueFd fd = event_fd(1);
  ASSERT_FALSE(backend_->add(fd.get(), kToken));
  ASSERT_FALSE(backend_->arm(fd.get(), kToken, detail::Ready::of(Direction::kRead)));
  for (const int error : {EINTR, ENOMEM, EAGAIN}) {
    next_poll_says = error;
    EXPECT_EQ(wait(), 0U);
  }
  EXPECT_EQ(wait(), 1U);
  EXPECT_EQ(wait(), 0U) << "reported once for each arm";
  backend_->remove(fd.get());
}

}  // namespace
}  // namespace rearm::test
