// PollerTest: a fixture with a poller over the backend that the parameter names.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "rearm/poller.h"
#include "support/leak_check.h"
#include "support/open_poller.h"
#include "support/sockets.h"

namespace rearm::test {

// A waiter that counts how often it came back: once, if the library keeps its word (G2).
struct CountingWaiter final : Waiter {
  int returns = 0;
};

// Counts the waiters of a list, each of which must be a CountingWaiter.
inline std::size_t count_returns(WaiterList waiters) {
  std::size_t count = 0;
  while (Waiter* const waiter = waiters.pop_front()) {
    ++static_cast<CountingWaiter*>(waiter)->returns;
    ++count;
  }
  return count;
}

class PollerTest : public LeakCheck, public ::testing::WithParamInterface<std::string_view> {
 protected:
  // Long enough for any machine: only a test that fails waits for it.
  static constexpr std::chrono::seconds kPatience{10};
  // How long nothing must happen. Too short can only let a bug pass, never fail a sound build.
  static constexpr std::chrono::milliseconds kQuiet{20};

  void SetUp() override {
    LeakCheck::SetUp();
    (void)take_breaches();
    auto opened = open_poller(GetParam());
    ASSERT_TRUE(opened) << opened.error().message();
    poller_.emplace(std::move(*opened));
  }

  void TearDown() override {
    if (poller_) {
      EXPECT_EQ(poller_->stats().descriptors, 0U) << "a descriptor is left in the poller";
    }
    poller_.reset();
    peers_.clear();
    EXPECT_EQ(take_breaches(), "");
    LeakCheck::TearDown();
  }

  Poller& poller() { return *poller_; }

  Token add(UniqueFd fd) {
    const auto token = poller_->add(fd.get());
    if (!token) {
      ADD_FAILURE() << "add: " << token.error().message();
      return {};
    }
    (void)fd.release();
    return *token;
  }

  // Adds a descriptor on which nothing happens: its peer lives until the test ends.
  Token add_quiet() {
    FdPair pair = socket_pair();
    peers_.push_back(std::move(pair.b));
    return add(std::move(pair.a));
  }

  // Closes; returns how many waiters came back.
  std::size_t close(Token token) {
    auto waiters = poller_->close(token);
    if (!waiters) {
      ADD_FAILURE() << "close: " << waiters.error().message();
      return 0;
    }
    return count_returns(std::move(*waiters));
  }

  // Parks, after consuming what readiness is known already.
  void park(Token token, Direction direction, Waiter& waiter) {
    for (int i = 0; i < 3; ++i) {
      const auto prepared = poller_->wait(token, direction, waiter);
      ASSERT_TRUE(prepared) << prepared.error().message();
      if (*prepared == Poller::Prepared::kParked) return;
    }
    FAIL() << "the direction is ready again and again";
  }

  // Waits as a program would: the readiness is known at once, or the waiter comes back with it.
  bool becomes_ready(Token token, Direction direction) {
    CountingWaiter waiter;
    const auto prepared = poller_->wait(token, direction, waiter);
    if (!prepared) return false;
    if (*prepared == Poller::Prepared::kTryAgain) return true;
    if (returns(waiter)) return waiter.reason() == WakeReason::kReady;
    (void)poller_->cancel(token, direction, WakeReason::kTimedOut);
    return false;
  }

  // Whether a parked waiter comes back.
  bool returns(CountingWaiter& waiter) {
    const int before = waiter.returns;
    const Deadline patience = Deadline::after(kPatience);
    while (waiter.returns == before) {
      (void)collect(patience);
      if (waiter.returns == before && detail::now_ns() >= patience.ns()) return false;
    }
    return true;
  }

  // Whether a wake ends the wait of a poller on which nothing else happens: a deadline that passes
  // instead is a wake that was lost.
  static bool is_woken(Poller& poller) {
    const Deadline patience = Deadline::after(kPatience);
    return count_returns(poller.collect(patience)) == 0 && detail::now_ns() < patience.ns();
  }

  // Collects for a while; returns how many waiters came back.
  std::size_t collect_quietly() { return collect(Deadline::after(kQuiet)); }
  std::size_t collect(Deadline deadline) { return count_returns(poller_->collect(deadline)); }
  // Of what is there: an event port may at first hand out a report without a direction
  // (EventPortFaults::fired_mask_zero), after which the poller arms again.
  std::size_t collect_there(Deadline deadline) {
    std::size_t count = 0;
    for (int i = 0; i < 8 && count == 0; ++i) {
      count = collect(deadline);
      if (poller_->backend_name() != "event_port") break;
    }
    return count;
  }

  std::size_t collect_now() { return collect(Deadline::after(std::chrono::seconds(0))); }

  std::optional<Poller> poller_;
  std::vector<UniqueFd> peers_;
};

}  // namespace rearm::test
