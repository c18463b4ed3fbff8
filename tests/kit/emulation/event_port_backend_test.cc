// The event port backend against what the kernel does rarely, which the conformance suite cannot
// bring about: the limit of events, empty masks, and events that come with an error.
#include <pthread.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "emulation/event_port.h"
#include "poller/backend_event_port.h"
#include "support/sockets.h"
#include "support/threads.h"

namespace rearm::test {

using detail::EventPortBackend;
using detail::Ready;
using detail::WaitResult;

namespace {

constexpr unsigned kAlways = 1'000;
constexpr Token kToken{.slot = 3, .generation = 7};

class EventPortBackendTest : public ::testing::Test {
 protected:
  void open(const EventPortFaults& faults) {
    faults_ = std::make_unique<ScopedEventPortFaults>(faults);
    backend_ = std::make_unique<EventPortBackend>();
    ASSERT_FALSE(backend_->open());
  }

  void TearDown() override {
    backend_.reset();
    faults_.reset();
  }

  WaitResult wait(Deadline deadline) { return backend_->wait(events_, deadline); }
  WaitResult wait_now() { return wait(Deadline::at_ns(0)); }
  static Deadline soon() { return Deadline::after(std::chrono::seconds(10)); }

  std::unique_ptr<ScopedEventPortFaults> faults_;
  std::unique_ptr<EventPortBackend> backend_;
  std::array<detail::Event, 8> events_;
  FdPair pair_ = socket_pair();
};

TEST_F(EventPortBackendTest, TheLimitOfEventsIsAnErrorOfAddAndFreeAgainAfterRemove) {
  open({.max_events = 1});
  ASSERT_FALSE(backend_->add(pair_.a.get(), kToken));
  const std::error_code refused = backend_->add(pair_.b.get(), kToken);
  EXPECT_EQ(refused, std::error_code(EAGAIN, std::system_category()));
  EXPECT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::both())) << "taken when it was added";
  backend_->remove(pair_.a.get());
  EXPECT_FALSE(backend_->add(pair_.b.get(), kToken)) << "and not taken for one that was added";
  backend_->remove(pair_.b.get());
}

// R64 (illumos 15254): once is an early return.
TEST_F(EventPortBackendTest, AnInvalidArgumentOutOfTheBlueIsAnEarlyReturn) {
  open({.einval = kAlways});
  ASSERT_FALSE(backend_->add(pair_.a.get(), kToken));
  ASSERT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::of(Direction::kRead)));
  EXPECT_EQ(wait(soon()).count, 0U);
  send_text(pair_.b.get(), "x");
  EXPECT_EQ(wait(soon()).count, 1U);
  backend_->remove(pair_.a.get());
}

// R75 in spirit (polling#74): descriptors have taken all events, so none is left for port_send().
TEST_F(EventPortBackendTest, AWakeIsHeardThoughDescriptorsHaveTakenAllEvents) {
  open({.max_events = 1});
  ASSERT_FALSE(backend_->add(pair_.a.get(), kToken));
  errno = 1234;
  backend_->wake();
  EXPECT_EQ(errno, 1234) << "it may be called by a signal handler";
  EXPECT_TRUE(wait(Deadline::never()).woken) << "before the wait";
  EXPECT_FALSE(wait_now().woken) << "one wake, one return";
  std::thread waiting([this] { EXPECT_TRUE(wait(Deadline::never()).woken); });
  let_it_sleep();
  backend_->wake();
  waiting.join();
  // Reports that were queued behind the alert come after it.
  send_text(pair_.b.get(), "x");
  ASSERT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::of(Direction::kRead)));
  backend_->wake();
  EXPECT_TRUE(wait_now().woken);
  EXPECT_EQ(wait_now().count, 1U);
  backend_->remove(pair_.a.get());
}

// R36 (golang/go#35261)
TEST_F(EventPortBackendTest, EventsThatComeWithATimeoutCount) {
  open({.etime_with_events = kAlways});
  ASSERT_FALSE(backend_->add(pair_.a.get(), kToken));
  ASSERT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::of(Direction::kRead)));
  send_text(pair_.b.get(), "x");
  const WaitResult result = wait(soon());
  ASSERT_EQ(result.count, 1U);
  EXPECT_EQ(events_[0].token, kToken);
  EXPECT_EQ(events_[0].ready, Ready::of(Direction::kRead));
  backend_->remove(pair_.a.get());
}

// R37 (golang/go#45643): what an earlier call has left in errno says nothing of this one. It counts
// where this call has failed, and then it is this call's.
TEST_F(EventPortBackendTest, OnlyAFailureOfTheWaitItselfIsOne) {
  open({});
  ASSERT_FALSE(backend_->add(pair_.a.get(), kToken));
  for (const int garbage : {EBADF, EFAULT, 0}) {
    ASSERT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::of(Direction::kWrite)));
    errno = garbage;
    EXPECT_EQ(wait_now().count, 1U);
    errno = garbage;
    EXPECT_EQ(wait_now().count, 0U) << "a success without events";
    errno = garbage;
    EXPECT_EQ(wait(Deadline::after(std::chrono::milliseconds(1))).count, 0U) << "ETIME";
  }
  const ScopedSignal handler(SIGUSR1, [](int) {});
  Sleeper sleeper;
  std::thread waiting([&] {
    sleeper.here();
    errno = EBADF;
    EXPECT_EQ(wait(Deadline::never()).count, 0U) << "EINTR";
  });
  ASSERT_TRUE(sleeper.await_asleep());
  ASSERT_EQ(::pthread_kill(waiting.native_handle(), SIGUSR1), 0);
  waiting.join();
  backend_->remove(pair_.a.get());
}

// The count that an interrupted call leaves is no number of events (libuv, sunos.c).
TEST_F(EventPortBackendTest, AnInterruptedWaitReturnsNothing) {
  open({.eintr = kAlways});
  ASSERT_FALSE(backend_->add(pair_.a.get(), kToken));
  for (int i = 0; i < 3; ++i) {
    const WaitResult result = wait(Deadline::never());
    EXPECT_EQ(result.count, 0U);
    EXPECT_FALSE(result.woken);
  }
  ASSERT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::of(Direction::kWrite)));
  EXPECT_EQ(wait(soon()).count, 1U) << "and loses nothing";
  backend_->remove(pair_.a.get());
}

TEST_F(EventPortBackendTest, AnEmptyMaskIsAReportOfNothing) {
  open({.fired_mask_zero = kAlways});
  ASSERT_FALSE(backend_->add(pair_.a.get(), kToken));
  ASSERT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::of(Direction::kWrite)));
  ASSERT_EQ(wait(soon()).count, 1U);
  EXPECT_EQ(events_[0].token, kToken);
  EXPECT_TRUE(events_[0].ready.empty()) << "so that the poller arms again";
  {
    const ScopedEventPortFaults none({});
    ASSERT_FALSE(backend_->arm(pair_.a.get(), kToken, Ready::of(Direction::kWrite)));
    ASSERT_EQ(wait_now().count, 1U);
    EXPECT_EQ(events_[0].ready, Ready::of(Direction::kWrite));
  }
  backend_->remove(pair_.a.get());
}

TEST_F(EventPortBackendTest, ArmingANumberThatWasClosedIsClosed) {
  open({});
  const int number = pair_.a.get();
  ASSERT_FALSE(backend_->add(number, kToken));
  pair_.a.reset();
  EXPECT_EQ(backend_->arm(number, kToken, Ready::both()), Errc::kClosed);
  backend_->remove(number);
  (void)take_event_port_breaches();
}

}  // namespace
}  // namespace rearm::test
