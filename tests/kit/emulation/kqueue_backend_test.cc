// KqueueBackend by itself: what it makes of a kernel's answers that only some systems give, beyond
// what the conformance suite sees.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <span>
#include <thread>

#include <gtest/gtest.h>

#include "emulation/kqueue/kqueue_emulation.h"
#include "emulation/kqueue_fixture.h"
#include "poller/backend_kqueue.h"
#include "support/leak_check.h"
#include "support/threads.h"

namespace rearm::test {
namespace {

using kqueue_emulation::System;

constexpr Token kWatched{.slot = 3, .generation = 5};

class KqueueBackendTest : public LeakCheck, public ::testing::WithParamInterface<System> {
 protected:
  void SetUp() override {
    LeakCheck::SetUp();
    kqueue_emulation::set_quirks(kqueue_emulation::quirks_of(GetParam()));
    kqueue_emulation::set_faults({});
    backend_ = std::make_unique<detail::KqueueBackend>();
    ASSERT_FALSE(backend_->open());
  }
  void TearDown() override {
    backend_.reset();
    kqueue_emulation::reset();
    LeakCheck::TearDown();
  }

  // What one wait says of kWatched.
  struct Said {
    bool read = false;
    bool write = false;
    bool hang_up = false;
    bool woken = false;
  };
  Said wait(Deadline deadline = Deadline::at_ns(0)) {
    std::array<detail::Event, 8> events;
    const detail::WaitResult result = backend_->wait(events, deadline);
    Said said{.woken = result.woken};
    for (const detail::Event& event : std::span(events).first(result.count)) {
      EXPECT_EQ(event.token, kWatched);
      said.read |= event.ready.has(Direction::kRead);
      said.write |= event.ready.has(Direction::kWrite);
      said.hang_up |= event.ready.has_hang_up();
    }
    return said;
  }

  std::unique_ptr<detail::KqueueBackend> backend_;
};

// R43 (mio#582): some refuse one filter, and then the other tells.
TEST_P(KqueueBackendTest, AWriterWithoutAReaderIsToldOfTheEndInBothDirections) {
  FdPair pair = pipe_pair();
  pair.a.reset();
  ASSERT_FALSE(backend_->add(pair.b.get(), kWatched));
  const Said said = wait();
  EXPECT_TRUE(said.read && said.write && said.hang_up);
  backend_->remove(pair.b.get());
  (void)wait();
  EXPECT_FALSE(wait().write);
}

// Where the reader of a FIFO is gone its writer may write, and learns it then: on macOS that is
// all.
TEST_P(KqueueBackendTest, AFifosWriterWithoutAReaderIsToldThatItMayWrite) {
  FdPair fifo = fifo_pair();
  fifo.a.reset();
  ASSERT_FALSE(backend_->add(fifo.b.get(), kWatched));
  const Said said = wait();
  EXPECT_TRUE(said.write);
  EXPECT_EQ(said.hang_up, GetParam() != System::kMacos);
  backend_->remove(fifo.b.get());
}

// A direction that the kernel does not watch because nobody waits for it is no news.
TEST_P(KqueueBackendTest, AFilterThatIsRefusedIsNoReport) {
  const FdPair fifo = fifo_pair();
  ASSERT_FALSE(backend_->add(fifo.a.get(), kWatched));
  Said said = wait();
  EXPECT_FALSE(said.read && said.hang_up);
  send_text(fifo.b.get(), "x");
  said = wait();
  EXPECT_TRUE(said.read);
  backend_->remove(fifo.a.get());
}

// R45: EV_EOF comes on one filter alone, and ends the waits of both directions.
TEST_P(KqueueBackendTest, TheEndOnOneFilterWakesBothDirections) {
  FdPair pair = socket_pair();
  ASSERT_FALSE(backend_->add(pair.a.get(), kWatched));
  (void)fill(pair.a.get());  // So that the filter of writing has nothing to say of its own.
  while (wait().write) continue;
  ASSERT_EQ(::shutdown(pair.b.get(), SHUT_WR), 0);
  const Said said = wait();
  EXPECT_TRUE(said.read && said.write && said.hang_up);
  backend_->remove(pair.a.get());
}

TEST_P(KqueueBackendTest, AWriterWithoutAReaderThatIsAddedEndsTheWaitInProgress) {
  FdPair pair = pipe_pair();
  pair.a.reset();
  std::thread waiting([&] {
    Said said;
    while (!said.write) said = wait(Deadline::never());
  });
  let_it_sleep();
  ASSERT_FALSE(backend_->add(pair.b.get(), kWatched));
  waiting.join();
  backend_->remove(pair.b.get());
}

// A registration that fails leaves nothing behind.
TEST_P(KqueueBackendTest, ANumberThatWasRefusedMayBeAddedLater) {
  kqueue_emulation::set_faults({.no_memory_one_in = 2});
  detail::KqueueBackend scarce;
  while (scarce.open()) continue;
  const FdPair pair = socket_pair();
  int refused = 0;
  for (int added = 0; added < 20;) {
    const std::error_code error = scarce.add(pair.a.get(), kWatched);
    if (error) {
      EXPECT_EQ(error, std::errc::not_enough_memory);
      ++refused;
      continue;
    }
    ++added;
    scarce.remove(pair.a.get());
  }
  EXPECT_GT(refused, 0);
}

// R75 (polling#74): where the wake is a pipe, it is full one day; and errno is the caller's.
TEST_P(KqueueBackendTest, ManyWakesNeitherBlockNorTouchErrnoAndEndOneWait) {
  errno = 1234;
  for (int i = 0; i < 70'000; ++i) backend_->wake();
  EXPECT_EQ(errno, 1234);
  EXPECT_TRUE(wait(Deadline::never()).woken);
  EXPECT_FALSE(wait().woken);
  backend_->wake();
  EXPECT_TRUE(wait(Deadline::never()).woken);
}

// The short-read rule must not be trusted: no filter tells of urgent data.
TEST_P(KqueueBackendTest, EachReportOfReadingSaysThatAShortReadProvesNothing) {
  const FdPair pair = tcp_pair();
  ASSERT_FALSE(backend_->add(pair.a.get(), kWatched));
  Said said = wait();
  EXPECT_TRUE(said.write && !said.read && !said.hang_up);
  send_text(pair.b.get(), "x");
  said = wait(Deadline::after(std::chrono::seconds(10)));
  EXPECT_TRUE(said.read && said.hang_up && !said.write);
  backend_->remove(pair.a.get());
}

// R26 (golang/go#42515): a level that a scan has taken from the queue is missed by those who come
// meanwhile. The backend is immune because everything it registers has EV_CLEAR, the wake included,
// and what has is not put back.
TEST_P(KqueueBackendTest, NothingThatItWatchesIsALevelWhichAScanWouldHide) {
  int levels = 0;
  kqueue_emulation::on_requeue() = [&] { ++levels; };
  const FdPair pair = socket_pair();
  ASSERT_FALSE(backend_->add(pair.a.get(), kWatched));
  send_text(pair.b.get(), "x");
  backend_->wake();
  const Said said = wait();
  EXPECT_TRUE(said.read && said.write && said.woken);
  send_text(pair.b.get(), "y");
  EXPECT_TRUE(wait(Deadline::after(std::chrono::seconds(10))).read);
  kqueue_emulation::on_requeue() = nullptr;
  EXPECT_EQ(levels, 0);
  backend_->remove(pair.a.get());
}

TEST_P(KqueueBackendTest, AChildOfForkLeavesTheParentsKqueueAlone) {
  const FdPair pair = socket_pair();
  ASSERT_FALSE(backend_->add(pair.a.get(), kWatched));
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = static_cast<bool>(backend_->add(pair.b.get(), kWatched));
    backend_->remove(pair.a.get());
    backend_->wake();
    backend_.reset();
    ::_exit(refused ? 17 : 18);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 17);
  (void)wait();
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(wait(Deadline::after(std::chrono::seconds(10))).read);
  backend_->remove(pair.a.get());
}

INSTANTIATE_TEST_SUITE_P(Systems, KqueueBackendTest,
                         ::testing::Values(System::kFreebsd, System::kFreebsd13, System::kMacos,
                                           System::kNetbsd, System::kNetbsd10, System::kOpenbsd,
                                           System::kOpenbsd73, System::kDragonfly));

class RefusingKqueueTest : public KqueueBackendTest {};

// EINVAL for the direction that the end is not for, and EBADF for the other: the number is open.
TEST_P(RefusingKqueueTest, AWriterWhoseFiltersAreBothRefusedHasNoReaderAndIsNotClosed) {
  FdPair pair = pipe_pair();
  pair.a.reset();
  EXPECT_EQ(backend_->add(pair.b.get(), kWatched), std::error_code(EPIPE, std::system_category()));
  const int number = pair.b.get();
  pair.b.reset();
  EXPECT_EQ(backend_->add(number, kWatched), Errc::kClosed);
}

INSTANTIATE_TEST_SUITE_P(Systems, RefusingKqueueTest, ::testing::Values(System::kNetbsd2023));

}  // namespace
}  // namespace rearm::test
