// Races of a report on its way up with the close of its descriptor, and with the next owner of the
// number and of the slot.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "poller/backend.h"
#include "support/hold_up.h"
#include "support/race_test.h"

namespace rearm::test {
namespace {

// One descriptor, and the stranger that takes its number and its slot.
struct Lane {
  Token token;
  CountingWaiter reader;
  CountingWaiter writer;
  bool writer_parked = false;
  Token stranger;
  int stranger_fd = -1;
  CountingWaiter stranger_reader;
};

class ReportRace : public RaceTest {
 protected:
  // The reader waits and is armed, and nothing has happened.
  void begin(Lane& lane) {
    lane.reader.returns = lane.writer.returns = lane.stranger_reader.returns = 0;
    lane.token = add(event_fd());
    park(lane.token, Direction::kRead, lane.reader);
  }

  // The writer waits as well. A fresh eventfd is writable, so a report comes at once, or has come.
  void wait_to_write(Lane& lane) {
    const auto wait = poller().wait(lane.token, Direction::kWrite, lane.writer);
    lane.writer_parked = wait && *wait == Poller::Prepared::kParked;
  }

  // After the report reading is to be armed again.
  void cause_and_collect_a_report(Lane& lane) {
    wait_to_write(lane);
    settle();
  }

  // Closes, and gives number and slot to a stranger, on whom nothing happens.
  void close_and_replace(Lane& lane) {
    (void)close(lane.token);
    UniqueFd fd = event_fd();
    lane.stranger_fd = fd.get();
    lane.stranger = add(std::move(fd));
    park(lane.stranger, Direction::kRead, lane.stranger_reader);
  }

  // The old waiters came back once each; the stranger gets its own report, whatever came before.
  void check_and_end(Lane& lane) {
    ASSERT_EQ(take_breaches(), "");
    ASSERT_EQ(lane.reader.returns, 1);
    ASSERT_EQ(lane.writer.returns, lane.writer_parked ? 1 : 0);
    // A report that was in poller_core.cc's hands when its owner changed may have woken the
    // stranger for nothing: a spurious report, and legal. It waits again.
    if (lane.stranger_reader.returns != 0) {
      park(lane.stranger, Direction::kRead, lane.stranger_reader);
    }
    make_readable(lane.stranger_fd);
    ASSERT_TRUE(returns(lane.stranger_reader)) << "the stranger's report was lost";
    (void)close(lane.stranger);
  }

  // In half of the lanes the first racer is held up meanwhile, wherever it is.
  void approach(std::size_t i) {
    if (i % 2 != 0) hold_up_.approach();
  }
  template <class F>
  void now_or_during(std::size_t i, F&& act) {
    if (i % 2 == 0) {
      act();
    } else {
      hold_up_.during(act);
    }
  }

  std::array<Lane, kLanes> lanes_;
  HoldUp hold_up_;
};

// Race (R01: golang/go#7410; R02, R12): the report is collected, and its descriptor re-armed,
// while the owner closes it and a stranger gets its number and its slot. Forbidden (G1, G3): to arm
// the closed number or the stranger's; to keep the stranger's own report from it. The guard is the
// look at closing flag and generation in PollerCore::rearm(), under the lock.
TEST_P(ReportRace, AReportDuringCloseAndReuseNeitherArmsNorRobsTheStranger) {
  race(
      rounds(25'000), [&](std::size_t i) { begin(lanes_[i]); },
      {[&](std::size_t i) {
         approach(i);
         cause_and_collect_a_report(lanes_[i]);
       },
       [&](std::size_t i) { now_or_during(i, [&] { close_and_replace(lanes_[i]); }); }},
      [&](std::size_t i) { check_and_end(lanes_[i]); });
}

// Race: the same with a plain close, and nobody after. Forbidden: a re-arm after the close. The
// guard is the closing check in PollerCore::rearm(), and the lock around it.
TEST_P(ReportRace, AReportDuringCloseArmsNothing) {
  race(
      rounds(25'000), [&](std::size_t i) { begin(lanes_[i]); },
      {[&](std::size_t i) {
         approach(i);
         cause_and_collect_a_report(lanes_[i]);
       },
       [&](std::size_t i) { now_or_during(i, [&] { (void)close(lanes_[i].token); }); }},
      [&](std::size_t i) {
        ASSERT_EQ(take_breaches(), "");
        ASSERT_EQ(lanes_[i].reader.returns, 1);
        ASSERT_EQ(lanes_[i].writer.returns, lanes_[i].writer_parked ? 1 : 0);
      });
  const std::uint64_t stale = poller().stats().stale_events;
  (void)collect_quietly();
  EXPECT_EQ(poller().stats().stale_events, stale) << "a closed number is still associated";
}

// Race: a report is re-armed while another thread arms the other direction. Forbidden (G6): that
// one of the two wishes is lost; two arms of one descriptor at once. The guards are the locks in
// PollerCore::rearm() and PollerCore::arm_forgetting().
TEST_P(ReportRace, AReArmDuringAnArmLosesNeitherWish) {
  race(
      rounds(25'000),
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        lane.reader.returns = lane.writer.returns = 0;
        UniqueFd fd = event_fd();
        lane.stranger_fd = fd.get();
        lane.token = add(std::move(fd));
      },
      {[&](std::size_t i) {
         approach(i);
         park(lanes_[i].token, Direction::kRead, lanes_[i].reader);
       },
       [&](std::size_t i) {
         wait_to_write(lanes_[i]);
         now_or_during(i, [&] { settle(); });
       }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        ASSERT_EQ(take_breaches(), "");
        if (lane.writer_parked && lane.writer.returns == 0) (void)returns(lane.writer);
        ASSERT_EQ(lane.writer.returns, lane.writer_parked ? 1 : 0);
        ASSERT_EQ(lane.reader.returns, 0);
        make_readable(lane.stranger_fd);
        ASSERT_TRUE(returns(lane.reader)) << "the reader's wish was lost";
        (void)close(lane.token);
      });
}

// A backend that holds reports back until it is told to deliver them: legal by the contract, and so
// late that their descriptors are gone. One thread at a time waits and tells.
class LateBackend final : public detail::Backend {
 public:
  explicit LateBackend(std::unique_ptr<detail::Backend> inner)
      : Backend(inner->name(), inner->needs_arm()), inner_(std::move(inner)) {}

  std::error_code open() override { return {}; }
  std::error_code add(int fd, Token token) override { return inner_->add(fd, token); }
  std::error_code arm(int fd, Token token, detail::Ready interest) override {
    return inner_->arm(fd, token, interest);
  }
  void remove(int fd) override { inner_->remove(fd); }
  detail::WaitResult wait(std::span<detail::Event> events, Deadline deadline) override {
    if (delivering && held_.empty()) return inner_->wait(events, deadline);
    std::array<detail::Event, kAtOnce> fresh;
    const detail::WaitResult result = inner_->wait(fresh, Deadline::at_ns(0));
    held_.insert(held_.end(), fresh.begin(), fresh.begin() + static_cast<long>(result.count));
    if (!delivering) return {.count = 0, .woken = result.woken};
    std::copy(held_.begin(), held_.end(), events.begin());
    return {.count = std::exchange(held_, {}).size(), .woken = result.woken};
  }
  void wake() noexcept override { inner_->wake(); }
  int native_handle() noexcept override { return inner_->native_handle(); }

  bool delivering = true;

 private:
  static constexpr std::size_t kAtOnce = 64;

  std::unique_ptr<detail::Backend> inner_;
  std::vector<detail::Event> held_;
};

// Race (R02: golang/go#59545, R12: boringtun#144, R44: mio#267): reports are taken from the kernel
// while their descriptors are closed and replaced, and delivered only then. Forbidden (G3): that a
// report of the earlier life acts on the later one.
TEST_P(ReportRace, ALateReportOfAnEarlierLifeNeverActs) {
  auto backend = std::make_unique<LateBackend>(detail::open_backend(GetParam()).value());
  LateBackend& late = *backend;
  poller_.emplace(poller_over(std::move(backend)));
  race(
      rounds(25'000),
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        lane.reader.returns = lane.stranger_reader.returns = 0;
        lane.token = add(event_fd(1));  // Readable: a report is pending.
        park(lane.token, Direction::kRead, lane.reader);
        late.delivering = false;
        if (i == 0) settle();  // At least this report is late, however the threads run.
      },
      {[&](std::size_t) { settle(); }, [&](std::size_t i) { close_and_replace(lanes_[i]); }},
      [&](std::size_t i) {
        late.delivering = true;
        Lane& lane = lanes_[i];
        ASSERT_EQ(lane.reader.returns, 1) << "closed, and nothing was delivered";
        // No stranger is ready: whoever comes back is woken by a report of somebody else's life.
        ASSERT_EQ(collect_now(), 0U) << "a report of an earlier life acted on a later one";
        ASSERT_EQ(take_breaches(), "");
        make_readable(lane.stranger_fd);
        ASSERT_TRUE(returns(lane.stranger_reader)) << "the stranger's report was lost";
        (void)close(lane.stranger);
      });
  EXPECT_GT(poller().stats().stale_events, 0U) << "no report was late";
}

INSTANTIATE_TEST_SUITE_P(Backends, ReportRace, ::testing::ValuesIn(tested_backends()),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
