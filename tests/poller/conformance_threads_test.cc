// Conformance: several threads share one poller. Counts are relaxed or plain, so that they give
// ThreadSanitizer no order that the poller does not make itself.
#include <sched.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "poller/conformance.h"
#include "support/hold_up.h"
#include "support/race.h"
#include "support/scale.h"

namespace rearm::test {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// R35 (asio#300): eight threads collect, and one descriptor is always ready. Forbidden: that two of
// them have its waiter, and so run its handler at once; that a report is lost between them.
TEST_P(Conformance, OfEightCollectorsOneHasTheWaiterOfTheHotDescriptor) {
  const std::uint64_t all = scaled(1'000);
  UniqueFd fd = event_fd();
  const int hot = fd.get();
  const Token token = add(std::move(fd));
  CountingWaiter reader;  // Its count is plain: whoever has the waiter may change it.
  std::atomic<int> inside{0};
  std::atomic<std::uint64_t> handled{0};
  std::atomic<bool> failed{false};
  const auto wait_again = [&] {
    for (;;) {
      (void)drain(hot);
      make_readable(hot);
      const auto prepared = poller().wait(token, Direction::kRead, reader);
      if (prepared && *prepared == Poller::Prepared::kTryAgain) continue;
      if (!prepared) failed.store(true, kRelaxed);
      return;
    }
  };
  const Deadline patience = Deadline::after(kPatience);
  const auto collector = [&] {
    while (handled.load(kRelaxed) < all && !failed.load(kRelaxed)) {
      WaiterList list = poller().collect(Deadline::at_ns(0));
      if (list.empty()) {
        ::sched_yield();
        if (detail::now_ns() > patience.ns()) failed.store(true, kRelaxed);
        continue;
      }
      if (inside.fetch_add(1, kRelaxed) != 0) failed.store(true, kRelaxed);
      (void)list.pop_front();
      if (!list.empty()) failed.store(true, kRelaxed);
      ++reader.returns;
      if (handled.fetch_add(1, kRelaxed) % 16 == 0) ::sched_yield();
      inside.fetch_sub(1, kRelaxed);
      wait_again();
    }
  };
  wait_again();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back(collector);
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(failed) << "two handlers at once, or a report that was lost, after " << handled;
  EXPECT_EQ(static_cast<std::uint64_t>(reader.returns), handled.load());
  EXPECT_EQ(close(token), 1U);
}

// Operations that read one byte each: every one is tried first and waits only if it must. Whoever
// has the waiter goes on with the operation.
struct Reader final : Waiter {
  Token token;
  int fd = -1;
  UniqueFd peer;
  std::atomic<bool> has_owner{false};
  // Plain: the owner's.
  std::uint64_t submitted = 0;
  std::uint64_t completed = 0;
  std::uint64_t parked = 0;
  std::uint64_t came_back = 0;
};

class ReadersTest : public Conformance {
 protected:
  void SetUp() override {
    Conformance::SetUp();
    for (Reader& reader : readers_) {
      FdPair pair = socket_pair();
      reader.fd = pair.a.get();
      reader.peer = std::move(pair.b);
      reader.token = add(std::move(pair.a));
      go_on(reader);
    }
  }

  void TearDown() override {
    for (Reader& reader : readers_) reader.peer.reset();
    Conformance::TearDown();
  }

  // Completes operations and submits new ones until one has to wait.
  void go_on(Reader& reader) {
    if (reader.has_owner.exchange(true, kRelaxed)) failed_.store(true, kRelaxed);
    for (;;) {
      if (reader.submitted == reader.completed) ++reader.submitted;
      char byte = 0;
      if (::read(reader.fd, &byte, sizeof(byte)) == 1) {
        ++reader.completed;
        completed_.fetch_add(1, kRelaxed);
        continue;
      }
      ++reader.parked;
      reader.has_owner.store(false, kRelaxed);
      const auto prepared = poller().wait(reader.token, Direction::kRead, reader);
      if (prepared && *prepared == Poller::Prepared::kParked) return;
      if (reader.has_owner.exchange(true, kRelaxed) || !prepared) failed_.store(true, kRelaxed);
      --reader.parked;
    }
  }

  void come_back(Waiter& waiter) {
    auto& reader = static_cast<Reader&>(waiter);
    ++reader.came_back;
    go_on(reader);
  }

  void collect_once() {
    WaiterList list = poller().collect(Deadline::at_ns(0));
    if (list.empty()) ::sched_yield();
    while (Waiter* const waiter = list.pop_front()) come_back(*waiter);
  }

  void collect_until_over() {
    while (!over_.load(kRelaxed)) collect_once();
  }

  // Stops the test's own thread now and then, wherever it is.
  void collect_and_hold_up_until_over() {
    for (std::uint64_t i = 0; !over_.load(kRelaxed); ++i) {
      if (i % 16 == 0) {
        hold_up_.during([this] { collect_once(); });
      } else {
        collect_once();
      }
    }
  }

  // Returns how many bytes were written: one, unless the peer is full.
  static std::uint64_t feed(const Reader& reader) {
    const char byte = 0;
    return ::write(reader.peer.get(), &byte, sizeof(byte)) == 1 ? 1 : 0;
  }

  std::array<Reader, 8> readers_;
  std::atomic<std::uint64_t> completed_{0};
  std::atomic<bool> failed_{false};
  std::atomic<bool> over_{false};
  HoldUp hold_up_;
};

// R53 (dotnet/runtime#45673): an event races with the system call that succeeds at once, and with
// whoever withdraws the wait. Forbidden: an operation that is completed twice, or not at all.
TEST_P(ReadersTest, AsManyOperationsAreCompletedAsWereSubmitted) {
  const std::uint64_t all = scaled(20'000);
  std::vector<std::thread> threads;
  threads.emplace_back([this] { collect_until_over(); });
  threads.emplace_back([this] { collect_and_hold_up_until_over(); });
  std::uint64_t fed = 0;
  for (std::uint64_t i = 0; fed < all; ++i) {
    fed += feed(readers_[i % readers_.size()]);
    if (i % 5 != 0) continue;
    Reader& other = readers_[i / 5 % readers_.size()];
    Waiter* const waiter = poller().cancel(other.token, Direction::kRead, WakeReason::kTimedOut);
    if (waiter != nullptr) come_back(*waiter);
  }
  const Deadline patience = Deadline::after(kPatience);
  while (completed_.load(kRelaxed) != fed && detail::now_ns() < patience.ns()) ::sched_yield();
  over_.store(true, kRelaxed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(completed_.load(), fed);
  EXPECT_FALSE(failed_) << "one operation in the hands of two threads";
  std::uint64_t completed = 0;
  for (Reader& reader : readers_) {
    completed += reader.completed;
    EXPECT_EQ(reader.submitted, reader.completed + 1) << "one is under way";
    EXPECT_EQ(reader.parked, reader.came_back + 1) << "and waits";
    auto waiters = poller().close(reader.token);
    ASSERT_TRUE(waiters);
    EXPECT_EQ(waiters->pop_front(), &reader);
  }
  EXPECT_EQ(completed, fed);
}

INSTANTIATE_TEST_SUITE_P(Backends, ReadersTest, ::testing::ValuesIn(tested_backends()),
                         backend_test_name);

// R21 (netty#9362, #9388), R57 (golang/go#22606): four threads wake a poller until it goes, and
// pipes get its numbers. Forbidden: that a wake which returned before writes into one of them
// afterwards. (No wake may come during the destruction. A runtime sees to that by itself: see
// ARuntimeGoesOnlyWhenThoseWhoWokeItsFibersHaveLeft in net/net_stress_test.cc.)
TEST_P(Conformance, NoWakeOfADestroyedPollerIsWrittenToTheNextOwnersOfItsNumbers) {
  constexpr unsigned kWakers = 4;
  std::optional<Poller> victim;
  Gate gate(kWakers + 1);
  std::atomic<bool> leaving{false};
  std::atomic<bool> over{false};
  std::vector<std::thread> wakers;
  for (unsigned i = 0; i < kWakers; ++i) {
    wakers.emplace_back([&] {
      for (;;) {
        gate.meet();
        if (over.load(kRelaxed)) return;
        do {
          victim->wake();
          ::sched_yield();
        } while (!leaving.load(kRelaxed));
        gate.meet();
      }
    });
  }
  const std::uint64_t rounds = scaled(50);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    auto opened = open_poller(GetParam());
    ASSERT_TRUE(opened);
    victim.emplace(std::move(*opened));
    leaving.store(false, kRelaxed);
    gate.meet();
    for (int n = 0; n < 3; ++n) EXPECT_TRUE(is_woken(*victim));
    leaving.store(true, kRelaxed);
    gate.meet();
    victim.reset();
    const std::array<FdPair, 3> pipes = {pipe_pair(), pipe_pair(), pipe_pair()};
    for (const FdPair& pipe : pipes) EXPECT_FALSE(is_readable(pipe.a.get())) << "in round " << i;
  }
  over.store(true, kRelaxed);
  gate.meet();
  for (std::thread& waker : wakers) waker.join();
}

// Race: one thread closes a number that the kernel at once gives to another, which adds it.
// Forbidden: that the second owner is told EEXIST.
TEST_P(Conformance, ANumberThatIsReusedAtOnceIsNotTakenForOneThatIsThere) {
  const std::uint64_t rounds = scaled(4'000);
  const auto churn = [&] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      UniqueFd fd = event_fd();
      const auto token = poller().add(fd.get());
      ASSERT_TRUE(token) << "round " << i << ": " << token.error().message();
      (void)fd.release();
      ASSERT_TRUE(poller().close(*token));
    }
  };
  std::thread other(churn);
  churn();
  other.join();
}

}  // namespace
}  // namespace rearm::test
