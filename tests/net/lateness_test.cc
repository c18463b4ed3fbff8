// How long what waits outside of a worker's queue is kept waiting (G9): reports of the kernel,
// expired timers, injected fibers, behind fibers that always have something to do.
//
// One worker, on a virtual clock: a fiber computes by setting the clock forward, so the bounds are
// exact and do not depend on the machine.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/virtual_clock.h"
#include "rearm/fiber.h"
#include "rearm/net/pipe.h"
#include "rearm/net/unix_datagram.h"
#include "rearm/runtime.h"
#include "sched/runtime_fixture.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

const nanoseconds kSlice = Runtime::Options().time_slice;
// While runs are short, the clock is not read at every switch (src/sched/pace.h).
const nanoseconds kUnread = kSlice / 8;

class LatenessTest : public ::testing::Test {
 protected:
  void compute(nanoseconds time) { clock_.set(clock_.now_ns() + time.count()); }
  [[nodiscard]] nanoseconds now() const { return nanoseconds(clock_.now_ns()); }

  // Runs `body`; until it returns, `count` fibers take turns, each computing for `time` a turn.
  void run_beside(int count, nanoseconds time, const std::function<void()>& body) {
    runtime_.run([&] {
      bool stop = false;
      std::vector<JoinHandle<void>> busy;
      for (int i = 0; i < count; ++i) {
        busy.push_back(spawn([&] {
          while (!stop) {
            compute(time);
            each_turn();
            this_fiber::yield();
          }
        }));
      }
      body();
      stop = true;
      for (auto& fiber : busy) fiber.join();
    });
  }

  // What else happens in a turn of a busy fiber.
  std::function<void()> each_turn = [] {};

  // Sleeps for 1.3 ms again and again; returns the worst lateness.
  nanoseconds worst_sleep(int times) {
    nanoseconds worst{0};
    for (int i = 0; i < times; ++i) {
      const nanoseconds due = now() + 1300us;
      EXPECT_TRUE(this_fiber::sleep_for(1300us));
      worst = std::max(worst, now() - due);
    }
    return worst;
  }

  // Reads bytes that come while a busy fiber computes; returns the worst lateness.
  nanoseconds worst_read(int times) {
    Pipe pipe = Pipe::create().value();
    std::optional<nanoseconds> written;
    const int number = pipe.write_end.native_handle();
    each_turn = [&] {
      if (written) return;
      EXPECT_EQ(::write(number, "x", 1), 1);
      written = now();
    };
    nanoseconds worst{0};
    for (int i = 0; i < times; ++i) {
      char byte = 0;
      EXPECT_TRUE(pipe.read_end.read_some({&byte, 1}));
      worst = std::max(worst, now() - *written);
      written.reset();
    }
    each_turn = [] {};
    return worst;
  }

  detail::VirtualClock clock_{1'000'000'000'000};
  Runtime runtime_{{.workers = 1}};
};

TEST_F(LatenessTest, ATimerWaitsForASliceAndTheFiberThatRuns) {
  run_beside(1, 1ms, [&] { EXPECT_LE(worst_sleep(100), kSlice + 1ms); });
}

TEST_F(LatenessTest, ATimerWaitsSoBehindManyToo) {
  run_beside(100, 1ms, [&] { EXPECT_LE(worst_sleep(100), kSlice + 1ms); });
}

// ThreadSanitizer takes each fiber for a thread, and knows no more than 8,128.
TEST_F(LatenessTest, ATimerWaitsSoBehindThousands) {
  run_beside(test::kSanitized ? 2'000 : 10'000, 10us,
             [&] { EXPECT_LE(worst_sleep(20), kSlice + kUnread + 10us); });
}

TEST_F(LatenessTest, AReportWaitsForASliceAndTheFiberThatRuns) {
  run_beside(1, 1ms, [&] { EXPECT_LE(worst_read(100), kSlice + 1ms); });
}

TEST_F(LatenessTest, AReportWaitsSoBehindManyToo) {
  run_beside(100, 1ms, [&] { EXPECT_LE(worst_read(100), kSlice + 1ms); });
}

// A timer that is always due used to keep the kernel from being asked at all.
TEST_F(LatenessTest, TimersDoNotKeepReportsWaiting) {
  run_beside(1, 50us, [&] {
    bool stop = false;
    auto ticker = spawn([&] {
      while (!stop) EXPECT_TRUE(this_fiber::sleep_for(10us));
    });
    EXPECT_LE(worst_read(100), kSlice + kUnread + 50us);
    stop = true;
    ticker.join();
  });
}

TEST_F(LatenessTest, AnInjectedFiberWaitsForASliceAndTheFiberThatRuns) {
  run_beside(100, 1ms, [&] {
    EXPECT_TRUE(this_fiber::sleep_for(1ms));  // It is known by now that they run long.
    for (int i = 0; i < 20; ++i) {
      std::optional<nanoseconds> ran;
      std::thread outsider([&] { runtime_.spawn([&] { ran = now(); }).detach(); });
      outsider.join();
      const nanoseconds injected = now();
      while (!ran) this_fiber::yield();
      EXPECT_LE(*ran - injected, kSlice + 1ms);
    }
  });
}

// Everything at once: none of the three kinds keeps another waiting.
TEST_F(LatenessTest, WhatComesTogetherIsServedTogether) {
  run_beside(10, 1ms, [&] {
    auto sleeper = spawn([&] { return worst_sleep(100); });
    EXPECT_LE(worst_read(100), kSlice + 1ms);
    EXPECT_LE(sleeper.join(), kSlice + 1ms);
  });
}

// Fibers that continue one after the other because each joins the next are a switch, too.
TEST_F(LatenessTest, AChainOfJoinersKeepsNothingWaiting) {
  runtime_.run([&] {
    const std::function<void(int)> link = [&](int left) {
      if (left > 0) spawn([&link, left] { link(left - 1); }).join();
      compute(1ms);
    };
    auto sleeper = spawn([&] { return worst_sleep(20); });
    link(100);
    EXPECT_LE(sleeper.join(), kSlice + 1ms);
  });
}

// A fiber whose reads and writes never have to wait gives way after so many of them.
class BudgetTest : public LatenessTest {
 protected:
  const int budget_ = static_cast<int>(Runtime::Options().budget);

  // Calls `act` again and again, 10 us each, beside a fiber that yields and one that sleeps. The
  // former has a turn after each budget, the latter is late by no more than that.
  void make_busy(const std::function<void()>& act) {
    bool stop = false;
    int acts = 0;
    int most = 0;
    auto yielder = spawn([&] {
      while (!stop) {
        most = std::max(most, std::exchange(acts, 0));
        this_fiber::yield();
      }
    });
    auto sleeper = spawn([&] {
      const nanoseconds worst = worst_sleep(20);
      stop = true;
      return worst;
    });
    this_fiber::yield();
    while (!stop) {
      act();
      ++acts;
      compute(10us);
    }
    yielder.join();
    EXPECT_LE(sleeper.join(), kSlice + kUnread + budget_ * 10us);
    EXPECT_LE(most, budget_ + 1);
    EXPECT_GE(most, budget_ / 2) << "the budget is not used up";
  }
};

TEST_F(BudgetTest, ReadsAndWritesThatNeverWaitGiveWay) {
  runtime_.run([&] {
    Pipe pipe = Pipe::create().value();
    bool writes = false;
    make_busy([&] {
      char byte = 'x';
      if (writes = !writes; writes) {
        EXPECT_TRUE(pipe.write_end.write_some({&byte, 1}));
      } else {
        EXPECT_TRUE(pipe.read_end.read_some({&byte, 1}));
      }
    });
  });
}

TEST_F(BudgetTest, SleepsThatHaveEndedGiveWay) {
  runtime_.run([&] { make_busy([] { EXPECT_TRUE(this_fiber::sleep_for(0ns)); }); });
}

TEST_F(BudgetTest, JoinsOfFibersThatHaveEndedGiveWay) {
  runtime_.run([&] {
    std::vector<JoinHandle<void>> ended;
    int count = 0;
    for (int i = 0; i < 5000; ++i) ended.push_back(spawn([&count] { ++count; }));
    while (count < 5000) this_fiber::yield();
    std::size_t next = 0;
    make_busy([&] {
      if (next == ended.size()) std::abort();  // The sleeper was starved.
      ended[next++].join();
    });
    while (next < ended.size()) ended[next++].join();
  });
}

// Each system call of one long operation counts.
TEST_F(BudgetTest, OneLongReadGivesWay) {
  runtime_.run([&] {
    Pipe pipe = Pipe::create().value();
    const std::size_t packets = 6 * Runtime::Options().budget;
    int turns = 0;
    std::atomic<bool> stop{false};
    // In packet mode a read ends where a write did.
    const int number = pipe.write_end.native_handle();
    ASSERT_EQ(::fcntl(number, F_SETFL, O_DIRECT | O_NONBLOCK), 0);
    ASSERT_GE(::fcntl(number, F_SETPIPE_SZ, packets * 4096), 0);
    for (std::size_t i = 0; i < packets; ++i) ASSERT_EQ(::write(number, "x", 1), 1);
    auto yielder = spawn([&] {
      for (; !stop.load(); ++turns) this_fiber::yield();
    });
    std::vector<char> bytes(packets);
    EXPECT_TRUE(pipe.read_end.read_exact(bytes));
    EXPECT_GE(turns, static_cast<int>(packets) / budget_ - 1);
    stop.store(true);
    yielder.join();
  });
}

// An operation that is not to wait may be made while a lock of the program's own is held.
TEST_F(BudgetTest, AnOperationThatIsNotToWaitDoesNotGiveWay) {
  runtime_.run([&] {
    Pipe pipe = Pipe::create().value();
    bool has_run = false;
    auto other = spawn([&] { has_run = true; });
    char byte = 'x';
    for (int i = 0; i < 10 * budget_; ++i) {
      EXPECT_TRUE(pipe.write_end.write_some({&byte, 1}, Deadline::immediate()));
      EXPECT_TRUE(pipe.read_end.read_some({&byte, 1}, Deadline::immediate()));
    }
    EXPECT_FALSE(has_run);
    other.join();
  });
}

// What comes from outside goes first, but when there is always more of it than a slice has room
// for, those who only yield have every second slice.
TEST_F(LatenessTest, TheQueueIsNotStarvedByWhatComesFromOutside) {
  constexpr int kSleepers = 20;
  runtime_.run([&] {
    bool stop = false;
    nanoseconds outside{0};
    nanoseconds inside{0};
    std::vector<JoinHandle<void>> sleepers;
    for (int i = 0; i < kSleepers; ++i) {
      sleepers.push_back(spawn([&] {
        while (!stop) {
          EXPECT_TRUE(this_fiber::sleep_for(1us));
          compute(50us);
          outside += 50us;
        }
      }));
    }
    std::vector<JoinHandle<void>> yielders;
    for (int i = 0; i < 10; ++i) {
      yielders.push_back(spawn([&] {
        for (int turn = 0; turn < 200; ++turn) {
          this_fiber::yield();
          compute(50us);
          inside += 50us;
        }
      }));
    }
    for (auto& yielder : yielders) yielder.join();
    stop = true;
    for (auto& sleeper : sleepers) sleeper.join();
    EXPECT_GE(inside * 2, outside);
    EXPECT_GE(outside * 2, inside);
  });
}

#if defined(__linux__)  // Other systems say at once that there is no room.

// One that sends to a Unix socket which is full looks again, the longer it has waited the less
// often. What ends its wait is not late by that.
class RoomTest : public LatenessTest {
 protected:
  // Runs `body` beside a fiber that sends with the deadline, and has done so in vain for two
  // seconds: it looks each 100 ms by now.
  void run_beside_sender(Deadline deadline, const std::function<void()>& body) {
    runtime_.run([&] {
      receiver_ = UnixDatagram::bind(name(0)).value();
      sender_ = UnixDatagram::open().value();
      UnixDatagram filler = UnixDatagram::open().value();
      while (filler.send_to("x", name(0), Deadline::immediate())) {
      }
      sending_ = spawn([&] {
        const auto sent = sender_.send_to("x", name(0), deadline);
        ended_ = sent ? std::error_code() : sent.error();
      });
      for (int i = 0; i < 200; ++i) pass(10ms);
      EXPECT_FALSE(ended_);
      body();
      while (!ended_) pass(10ms);
      sending_.join();
      (void)sender_.close();
      (void)receiver_.close();
    });
  }

  void pass(nanoseconds time) {
    compute(time);
    this_fiber::yield();
    this_fiber::yield();
  }
  [[nodiscard]] static SocketAddress name(int number) {
    return SocketAddress::unix_path("@rearm-room-" + std::to_string(::getpid()) + "-" +
                                    std::to_string(number))
        .value();
  }

  UnixDatagram receiver_;
  UnixDatagram sender_;
  JoinHandle<void> sending_;
  std::optional<std::error_code> ended_;
};

TEST_F(RoomTest, ACloseEndsTheSendAtOnce) {
  run_beside_sender(Deadline::never(), [&] {
    EXPECT_TRUE(sender_.close());
    pass(0ns);
    EXPECT_EQ(ended_, Errc::kClosed);
  });
}

TEST_F(RoomTest, SoDoesAStop) {
  run_beside_sender(Deadline::never(), [&] {
    runtime_.request_stop();
    pass(0ns);
    EXPECT_EQ(ended_, Errc::kCancelled);
  });
}

TEST_F(RoomTest, SoDoesAStopOfItsFiber) {
  run_beside_sender(Deadline::never(), [&] {
    sending_.request_stop();
    pass(0ns);
    EXPECT_EQ(ended_, Errc::kCancelled);
  });
}

TEST_F(RoomTest, ADeadlineEndsTheSendInTime) {
  const Deadline deadline = Deadline::at_ns(clock_.now_ns() + 2'345'678'901);
  run_beside_sender(deadline, [&] {
    pass(nanoseconds(deadline.ns() - 1 - clock_.now_ns()));
    EXPECT_FALSE(ended_);
    pass(kSlice);  // Until then the worker does not look.
    EXPECT_EQ(ended_, Errc::kTimedOut);
  });
}

TEST_F(RoomTest, ANewDeadlineHoldsAtOnce) {
  run_beside_sender({}, [&] {
    EXPECT_TRUE(sender_.set_write_deadline(Deadline::at_ns(clock_.now_ns() + 5'000'000)));
    pass(4ms);
    EXPECT_FALSE(ended_);
    // A later one, too: what it was before is of no account.
    EXPECT_TRUE(sender_.set_write_deadline(Deadline::at_ns(clock_.now_ns() + 500'000'000)));
    for (int i = 0; i < 49; ++i) pass(10ms);
    EXPECT_FALSE(ended_);
    pass(10ms);
    EXPECT_EQ(ended_, Errc::kTimedOut);
  });
}

TEST_F(RoomTest, AnotherSenderNeedNotWaitForIt) {
  run_beside_sender(Deadline::never(), [&] {
    UnixDatagram other = UnixDatagram::bind(name(1)).value();
    EXPECT_TRUE(sender_.connect(name(1)));
    std::optional<bool> sent;
    auto sending = spawn([&] {
      sent = sender_.send_to("y", name(1)) && sender_.send("z");  // In turn, this one.
    });
    pass(0ns);
    EXPECT_EQ(sent, true);
    EXPECT_FALSE(ended_);
    std::array<char, 4> buffer{};
    while (receiver_.recv_from(buffer, Deadline::immediate())) {
    }
    for (int i = 0; i < 11; ++i) pass(10ms);
    EXPECT_EQ(ended_, std::error_code()) << "there is room";
    sending.join();
    EXPECT_EQ(sent, true);
  });
}

#endif

}  // namespace
}  // namespace rearm
