// Poller over kernels that have run out of something: an error by its name for whoever asked for
// more, while everything else goes on (G8), and success again once there is room.
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "emulation/event_port.h"
#include "emulation/kqueue/kqueue_emulation.h"
#include "rearm/poller.h"
#include "support/poller_test.h"

namespace rearm::test {
namespace {

// The descriptors of a poller at its limit, each with a reader who waits.
class PollerLimits : public PollerTest {
 protected:
  // In place of a poller that knows no limits.
  void reopen() {
    poller_.reset();
    auto opened = open_poller(GetParam());
    ASSERT_TRUE(opened) << opened.error().message();
    poller_.emplace(std::move(*opened));
  }

  // Adds and parks; returns the error of add().
  std::error_code try_one_more() {
    FdPair pair = socket_pair();
    const auto token = poller().add(pair.a.get());
    if (!token) {
      EXPECT_TRUE(is_open(pair.a.get())) << "refused, and still the caller's";
      return token.error();
    }
    (void)pair.a.release();
    ends_.push_back({.token = *token, .peer = std::move(pair.b), .reader = {}});
    ends_.back().reader = std::make_unique<CountingWaiter>();
    park(*token, Direction::kRead, *ends_.back().reader);
    return {};
  }

  // Wakes, reports and new waits work as ever.
  void expect_all_goes_on() {
    EXPECT_EQ(poller().stats().descriptors, ends_.size());
    poller().wake();
    EXPECT_TRUE(is_woken(poller()));
    for (End& end : ends_) {
      send_text(end.peer.get(), "x");
      EXPECT_TRUE(returns(*end.reader));
      EXPECT_EQ(end.reader->reason(), WakeReason::kReady);
      const auto operation = poller().begin(end.token, Direction::kRead);
      ASSERT_TRUE(operation);
      EXPECT_EQ(drain(operation->fd()), "x");
      park(end.token, Direction::kRead, *end.reader);
    }
  }

  void close_one() {
    EXPECT_EQ(close(ends_.back().token), 1U);
    ends_.pop_back();
  }
  void close_all() {
    while (!ends_.empty()) close_one();
  }

  struct End {
    Token token;
    UniqueFd peer;
    std::unique_ptr<CountingWaiter> reader;
  };
  std::vector<End> ends_;
};

class PortLimits : public PollerLimits {};
class KqueueLimits : public PollerLimits {};

// process.max-port-events. A wake, which is an event, too, is heard though none is left for it.
TEST_P(PortLimits, AddAtTheLimitOfEventsIsRefusedByNameUntilOneIsClosed) {
  constexpr std::size_t kMost = 4;
  const ScopedEventPortFaults faults({.max_events = kMost});
  reopen();
  for (std::size_t i = 0; i < kMost; ++i) ASSERT_FALSE(try_one_more());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(try_one_more(), std::errc::resource_unavailable_try_again);
    expect_all_goes_on();
    close_one();
    EXPECT_FALSE(try_one_more()) << "there is room again";
    expect_all_goes_on();
  }
  close_all();
  poller_.reset();
}

// project.max-port-ids.
TEST_P(PortLimits, OpenAtTheLimitOfPortsIsRefusedByNameUntilOneIsClosed) {
  const ScopedEventPortFaults faults({.max_ports = 2});
  ASSERT_FALSE(try_one_more());
  auto second = open_poller(GetParam());
  ASSERT_TRUE(second);
  const auto third = open_poller(GetParam());
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error(), std::errc::resource_unavailable_try_again);
  EXPECT_FALSE(try_one_more());
  expect_all_goes_on();
  {
    const Poller gone = std::move(*second);
  }
  EXPECT_TRUE(open_poller(GetParam()));
  close_all();
}

// Memory for a registration, which is two: whichever is refused, nothing of the other is left.
TEST_P(KqueueLimits, AddWithoutMemoryIsRefusedByNameAndMayBeTriedAgain) {
  kqueue_emulation::set_faults({.no_memory_one_in = 3});
  poller_.reset();
  while (!poller_) {  // Its wake is a registration, too.
    auto opened = open_poller(GetParam());
    if (opened) {
      poller_.emplace(std::move(*opened));
    } else {
      ASSERT_EQ(opened.error(), std::errc::not_enough_memory);
    }
  }
  int refused = 0;
  while (ends_.size() < 20) {
    const std::error_code error = try_one_more();
    if (!error) continue;
    ASSERT_EQ(error, std::errc::not_enough_memory);
    ++refused;
    expect_all_goes_on();
  }
  EXPECT_GT(refused, 0);
  close_all();
  kqueue_emulation::reset();
}

INSTANTIATE_TEST_SUITE_P(Backends, PortLimits, ::testing::Values("event_port"), backend_test_name);
INSTANTIATE_TEST_SUITE_P(Backends, KqueueLimits, ::testing::Values("kqueue"), backend_test_name);

}  // namespace
}  // namespace rearm::test
