// Deadlines of reads, writes, accepts: the edges of time, standing ones, and changing them while
// somebody waits.
#include <array>
#include <atomic>
#include <vector>

#include <gtest/gtest.h>

#include "net/net_fixture.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using test::expect_error;
using test::expect_ok;
using test::expect_value;
using test::patience;
using test::since;

class IoDeadlineTest : public test::TransportTest {
 protected:
  static Result<std::size_t> read_one(Stream& fd, Deadline deadline = {}) {
    char byte = 0;
    return fd.read_some(MutableBuffer(&byte, 1), deadline);
  }
};

INSTANTIATE_TEST_SUITE_P(Net, IoDeadlineTest, test::kAllTransports, test::transport_test_name);

TEST_P(IoDeadlineTest, AReadEndsAtItsDeadlineAndNotBefore) {
  run([] {
    auto [reader, writer, duplex] = ends();
    for (const auto timeout : {100us, 3000us, 20000us}) {
      const auto start = Clock::now();
      expect_error(read_one(reader, Deadline::after(timeout)), Errc::kTimedOut);
      EXPECT_GE(since(start), timeout);
    }
    EXPECT_EQ(std::error_code(Errc::kTimedOut), std::errc::timed_out);
  });
}

TEST_P(IoDeadlineTest, AWriteEndsAtItsDeadline) {
  run([] {
    auto [reader, writer, duplex] = ends();
    test::fill_up(writer);
    const auto start = Clock::now();
    expect_error(test::write_until_error(writer, Deadline::after(5ms)), Errc::kTimedOut);
    const std::vector<char> more(std::size_t{32} << 20);  // Than any buffers on the way hold.
    expect_error(writer.write_all(more, Deadline::after(5ms)), Errc::kTimedOut);
    EXPECT_GE(since(start), 10ms);
  });
}

// Not send_to(): a datagram finds room at once on every path that a test can have.
TEST_P(IoDeadlineTest, EveryOperationEndsAtItsDeadlineAndNotBefore) {
  run([] {
    static constexpr auto kTimeout = 3ms;
    auto [reader, writer, duplex] = ends();
    test::fill_up(writer);
    char byte = 0;
    const std::vector<char> block(std::size_t{1} << 20);
    const std::array<MutableBuffer, 2> in{MutableBuffer(&byte, 0), MutableBuffer(&byte, 1)};
    const std::array<ConstBuffer, 2> out{ConstBuffer(block), ConstBuffer(block)};
    // A write finds room once more, and a wait may end with a hint: each is made until it fails.
    const auto expect_timeout = [](auto&& operation) {
      const auto start = Clock::now();
      const Deadline deadline = Deadline::after(kTimeout);
      for (;;) {
        const auto result = operation(deadline);
        if (result) continue;
        EXPECT_EQ(result.error(), Errc::kTimedOut) << result.error().message();
        EXPECT_GE(since(start), kTimeout);
        return;
      }
    };
    expect_timeout([&](Deadline deadline) { return writer.writev(out, deadline); });
    expect_timeout([&](Deadline deadline) { return writer.write_some(block, deadline); });
    expect_timeout([&](Deadline deadline) { return writer.write_all(block, deadline); });
    expect_timeout([&](Deadline deadline) { return writer.wait_writable(deadline); });
    std::vector<char> sink(block.size());
    while (reader.read_some(sink, test::at_once())) continue;
    expect_timeout([&](Deadline deadline) { return reader.readv(in, deadline); });
    expect_timeout([&](Deadline deadline) { return reader.read_some({&byte, 1}, deadline); });
    expect_timeout([&](Deadline deadline) { return reader.read_exact({&byte, 1}, deadline); });
    expect_timeout([&](Deadline deadline) { return reader.wait_readable(deadline); });
  });
}

TEST_P(IoDeadlineTest, ThePastEndsEveryOperationThoughItNeedNotWait) {
  run([] {
    auto [reader, writer, duplex] = ends();
    expect_ok(writer.write_all("some", patience()));
    std::array<char, 4> room{};
    const std::array<MutableBuffer, 1> in{MutableBuffer(room)};
    const std::array<ConstBuffer, 1> out{ConstBuffer("p")};
    for (const Deadline past : {Deadline::after(0s), Deadline::after(-1h), Deadline::at_ns(0),
                                Deadline::now(), Deadline::after(-std::chrono::years(500))}) {
      for (const bool standing : {false, true}) {
        const Deadline deadline = standing ? Deadline() : past;
        if (standing) expect_ok(reader.set_deadline(past));
        if (standing) expect_ok(writer.set_deadline(past));
        expect_error(read_one(reader, deadline), Errc::kTimedOut);
        expect_error(reader.readv(in, deadline), Errc::kTimedOut);
        expect_error(reader.read_exact(room, deadline), Errc::kTimedOut);
        expect_error(reader.wait_readable(deadline), Errc::kTimedOut);
        expect_error(writer.write_some("p", deadline), Errc::kTimedOut);
        expect_error(writer.writev(out, deadline), Errc::kTimedOut);
        expect_error(writer.write_all("p", deadline), Errc::kTimedOut);
        expect_error(writer.wait_writable(deadline), Errc::kTimedOut);
      }
      expect_ok(reader.set_deadline(Deadline::never()));
      expect_ok(writer.set_deadline(Deadline::never()));
    }
    expect_ok(reader.read_exact(room, patience()));  // Nothing was taken, and nothing was added.
    expect_error(read_one(reader, test::at_once()), Errc::kTimedOut);
  });
}

TEST_P(IoDeadlineTest, ImmediateTakesWhatIsThereAndDoesNotWait) {
  run([] {
    auto [reader, writer, duplex] = ends();
    for (const bool standing : {false, true}) {
      const Deadline deadline = standing ? Deadline() : Deadline::immediate();
      if (standing) expect_ok(reader.set_deadline(Deadline::immediate()));
      expect_error(read_one(reader, deadline), Errc::kTimedOut);
      expect_error(reader.wait_readable(deadline), Errc::kTimedOut);
      EXPECT_EQ(expect_value(writer.write_some("p", Deadline::immediate())), 1U);
      expect_ok(reader.wait_readable(deadline));
      EXPECT_EQ(expect_value(read_one(reader, deadline)), 1U);
    }
  });
}

// A peer that keeps up with the reader does not carry it past its deadline.
TEST_P(IoDeadlineTest, ADeadlineBoundsALoopThatNeverWaits) {
  run([] {
    for (const bool standing : {false, true}) {
      auto [reader, writer, duplex] = ends();
      std::atomic<bool> stop{false};
      auto flood = spawn([&] {
        const std::vector<char> block(4096, 'f');
        while (!stop.load() && writer.write_some(block, Deadline::after(1ms))) continue;
        while (!stop.load()) {
          (void)writer.write_some(block, Deadline::after(1ms));
          this_fiber::yield();
        }
      });
      test::let_park();
      const auto start = Clock::now();
      Deadline deadline = Deadline::after(5ms);
      if (standing) {
        expect_ok(reader.set_read_deadline(deadline));
        deadline = Deadline();
      }
      Result<std::size_t> n = 0;
      while (n && since(start) < 5s) n = read_one(reader, deadline);
      expect_error(n, Errc::kTimedOut);
      EXPECT_LT(since(start), 2s);
      stop.store(true);
      flood.join();
    }
  });
}

// As does one that takes all that is written, for write_all() and read_exact().
TEST_P(IoDeadlineTest, ADeadlineBoundsALongTransferThatNeverWaits) {
  run([] {
    auto [reader, writer, duplex] = ends();
    std::atomic<bool> stop{false};
    auto drain = spawn([&] {
      std::vector<char> sink(64 * 1024);
      while (reader.read_some(sink, patience())) {
        if (stop.load()) return;
      }
    });
    const std::vector<char> much(64 * 1024 * 1024, 'm');
    const auto start = Clock::now();
    expect_error(writer.write_all(much, Deadline::after(2ms)), Errc::kTimedOut);
    EXPECT_LT(since(start), 2s);
    stop.store(true);
    (void)writer.write_some("x", test::at_once());
    (void)writer.close();
    drain.join();
  });
}

TEST_P(IoDeadlineTest, FiveHundredYearsAreWaitedFor) {
  run([] {
    auto [reader, writer, duplex] = ends();
    for (const Deadline far : {Deadline::after(std::chrono::years(500)),
                               Deadline::after(std::chrono::years(200)), Deadline::never()}) {
      auto parked = spawn([&reader, far] { return read_one(reader, far); });
      test::let_park();
      expect_ok(writer.write_all("x", patience()));
      EXPECT_EQ(expect_value(parked.join()), 1U);
    }
  });
}

TEST_P(IoDeadlineTest, AStandingDeadlineHoldsUntilItIsRemoved) {
  run([] {
    auto [reader, writer, duplex] = ends();
    expect_ok(reader.set_deadline(Deadline::after(-1s)));
    expect_error(read_one(reader), Errc::kTimedOut);
    expect_error(read_one(reader), Errc::kTimedOut);
    // It does not matter that something is there; the operation's own deadline goes before it.
    expect_ok(writer.write_all("w", patience()));
    for (int i = 0; i < 100; ++i) expect_error(read_one(reader), Errc::kTimedOut);
    EXPECT_EQ(expect_value(read_one(reader, patience())), 1U);
    expect_error(read_one(reader, Deadline::after(2ms)), Errc::kTimedOut);
    auto parked = spawn([&reader] { return read_one(reader, Deadline::never()); });
    test::let_park();
    expect_ok(writer.write_all("x", patience()));
    EXPECT_EQ(expect_value(parked.join()), 1U);
    expect_ok(reader.set_deadline(Deadline::never()));
    expect_ok(writer.write_all("y", patience()));
    EXPECT_EQ(expect_value(read_one(reader)), 1U);
  });
}

TEST_P(IoDeadlineTest, AStandingDeadlineIsOneDirections) {
  run([] {
    auto connected = ends();
    if (!connected.duplex) return;
    auto& [near, far, duplex] = connected;
    expect_ok(near.set_read_deadline(Deadline::after(-1s)));
    expect_error(read_one(near), Errc::kTimedOut);
    expect_ok(near.write_all("w"));
    EXPECT_EQ(expect_value(read_one(far, patience())), 1U);
    expect_ok(near.set_read_deadline(Deadline::never()));
    expect_ok(near.set_write_deadline(Deadline::after(-1s)));
    test::fill_up(near);
    expect_error(test::write_until_error(near, {}), Errc::kTimedOut);
    expect_ok(far.write_all("r", patience()));
    EXPECT_EQ(expect_value(read_one(near)), 1U);
  });
}

TEST_P(IoDeadlineTest, AnEarlierDeadlineReachesWhoWaits) {
  run([] {
    auto [reader, writer, duplex] = ends();
    for (const Deadline before : {Deadline::never(), Deadline::after(1h)}) {
      expect_ok(reader.set_deadline(before));
      auto parked = spawn([&reader] { return read_one(reader); });
      test::let_park();
      expect_ok(reader.set_deadline(Deadline::after(2ms)));
      expect_error(parked.join(), Errc::kTimedOut);
    }
    auto parked = spawn([&reader] { return read_one(reader); });
    expect_ok(reader.set_deadline(Deadline::never()));
    test::let_park();
    expect_ok(reader.set_deadline(Deadline::after(-1s)));  // At once.
    expect_error(parked.join(), Errc::kTimedOut);
  });
}

TEST_P(IoDeadlineTest, ALaterDeadlineReachesWhoWaits) {
  run([] {
    auto [reader, writer, duplex] = ends();
    for (const Deadline later : {Deadline::never(), Deadline::after(1h)}) {
      const auto start = Clock::now();
      expect_ok(reader.set_deadline(Deadline::after(100ms)));
      auto parked = spawn([&reader] { return read_one(reader); });
      test::let_park();
      expect_ok(reader.set_deadline(later));
      // On a machine so slow that the first deadline has passed by now there is nothing to see.
      const bool in_time = since(start) < 90ms;
      (void)this_fiber::sleep_for(110ms);
      expect_ok(writer.write_all("x", patience()));
      const auto n = parked.join();
      EXPECT_TRUE(n || !in_time) << "the deadline that was moved has acted";
      if (!n) (void)read_one(reader, patience());
    }
  });
}

TEST_P(IoDeadlineTest, ChangingADeadlineDoesNotTouchAWaitThatHasItsOwn) {
  run([] {
    auto [reader, writer, duplex] = ends();
    auto parked = spawn([&reader] { return read_one(reader, patience()); });
    test::let_park();
    expect_ok(reader.set_deadline(Deadline::after(-1s)));
    test::let_park();
    expect_ok(writer.write_all("x", patience()));
    EXPECT_EQ(expect_value(parked.join()), 1U);
  });
}

TEST_P(IoDeadlineTest, ATimedOutReadLeavesTheDescriptorUsable) {
  run([] {
    auto [reader, writer, duplex] = ends();
    for (int i = 0; i < 20; ++i) {
      expect_error(read_one(reader, Deadline::after(200us)), Errc::kTimedOut);
      expect_ok(writer.write_all("x", patience()));
      EXPECT_EQ(expect_value(read_one(reader, patience())), 1U);
    }
  });
}

// Race: a deadline against data that comes at the same moment, and against the next wait.
// Forbidden: a byte that is lost, a wait that the deadline of the one before ends, a hang.
TEST_P(IoDeadlineTest, DeadlinesRaceWithData) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 100 : 500);
  run([&] {
    auto [reader, writer, duplex] = ends();
    for (std::uint64_t i = 0; i < rounds; ++i) {
      const auto moment = std::chrono::microseconds(i % 120);
      auto sender = spawn([&writer, moment] {
        (void)this_fiber::sleep_for(moment);
        expect_ok(writer.write_all("x", patience()));
      });
      auto n = read_one(reader, Deadline::after(moment));
      if (!n) {
        EXPECT_EQ(n.error(), Errc::kTimedOut);
        n = read_one(reader, patience());
      }
      EXPECT_EQ(expect_value(n), 1U);
      sender.join();
    }
  });
}

// Race: set_deadline() (stores, then withdraws) against a wait that begins (prepares, then looks).
// Forbidden: a wait that has seen neither.
TEST_P(IoDeadlineTest, SettingADeadlineRacesWithTheWait) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 100 : 500);
  run([&] {
    auto [reader, writer, duplex] = ends();
    for (std::uint64_t i = 0; i < rounds; ++i) {
      expect_ok(reader.set_deadline(Deadline::never()));
      auto parked = spawn([&reader] { return read_one(reader); });
      auto setter = spawn([&reader, i] {
        for (std::uint64_t k = i % 8; k > 0; --k) this_fiber::yield();
        expect_ok(reader.set_deadline(Deadline::after(-1s)));
      });
      expect_error(parked.join(), Errc::kTimedOut);
      setter.join();
    }
  });
}

}  // namespace
}  // namespace rearm
