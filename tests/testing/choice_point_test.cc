// Where others may come in between: each test's outcome needs one certain choice point.
#include <unistd.h>

#include <array>
#include <chrono>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "testing/programs.h"

namespace rearm::test {
namespace {

using namespace std::chrono_literals;
using Orders = std::set<std::string>;

class ChoicePointTest : public ExploreTest {};

// In each, the one who wakes writes 'w' after it has woken, and the woken one writes 'r'.
const Orders kBothOrders{"rw", "wr"};

TEST_F(ChoicePointTest, TheSpawnedFiberMayOvertakeTheSpawner) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  auto child = spawn([&] { order += 'r'; });
                  order += 'w';
                  child.join();
                  orders.insert(order);
                },
                1),
            kBothOrders);
}

TEST_F(ChoicePointTest, TheReaderMayOvertakeTheWriter) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  Pipe pipe = Pipe::create().value();
                  auto reader = spawn([&] {
                    char byte = 0;
                    (void)pipe.read_end.read_some({&byte, 1});
                    order += 'r';
                  });
                  (void)pipe.write_end.write_some("x");
                  order += 'w';
                  reader.join();
                  orders.insert(order);
                },
                2),
            kBothOrders);
}

TEST_F(ChoicePointTest, TheOneWhoseWaitIsEndedByACloseMayOvertakeIt) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  auto pair = UnixStream::pair().value();
                  auto reader = spawn([&] {
                    char byte = 0;
                    (void)pair.first.read_some({&byte, 1});
                    order += 'r';
                  });
                  (void)pair.first.close();
                  order += 'w';
                  reader.join();
                  orders.insert(order);
                },
                2),
            kBothOrders);
}

TEST_F(ChoicePointTest, TheOneWhoseDeadlineIsMovedMayOvertakeTheMover) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  auto pair = UnixStream::pair().value();
                  auto reader = spawn([&] {
                    char byte = 0;
                    (void)pair.first.read_some({&byte, 1});
                    order += 'r';
                  });
                  (void)pair.first.set_read_deadline(Deadline::after(-1s));
                  order += 'w';
                  reader.join();
                  orders.insert(order);
                },
                2),
            kBothOrders);
}

TEST_F(ChoicePointTest, TheOneWhoIsAskedToStopMayOvertakeWhoAsks) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  auto sleeper = spawn([&] {
                    (void)this_fiber::sleep_until(Deadline::never());
                    order += 'r';
                  });
                  Runtime::current()->request_stop();
                  order += 'w';
                  sleeper.join();
                  orders.insert(order);
                },
                2),
            kBothOrders);
}

TEST_F(ChoicePointTest, TheAcceptorMayOvertakeTheConnector) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  auto listener = TcpListener::bind(SocketAddress::ipv4_loopback(0)).value();
                  const SocketAddress address = listener.local_address().value();
                  auto acceptor = spawn([&] {
                    (void)listener.accept();
                    order += 'r';
                  });
                  auto stream = TcpStream::connect(address);
                  order += 'w';
                  acceptor.join();
                  orders.insert(order);
                },
                3),
            kBothOrders);
}

// Who looks may see what was done before the call, and not yet what the call does.
TEST_F(ChoicePointTest, SomebodyMayComeJustBeforeAWrite) {
  EXPECT_TRUE(outcomes_of<std::string>(
                  [](Orders& orders) {
                    bool announced = false;
                    Pipe pipe = Pipe::create().value();
                    auto looker = spawn([&] {
                      char byte = 0;
                      const bool early = announced;
                      const bool there =
                          pipe.read_end.read_some({&byte, 1}, Deadline::immediate()).has_value();
                      if (early && !there) orders.insert("announced, not there");
                    });
                    announced = true;
                    (void)pipe.write_end.write_some("x");
                    looker.join();
                  },
                  2)
                  .contains("announced, not there"));
}

// A read that finds its data need not park, and still somebody may come first and take it.
TEST_F(ChoicePointTest, SomebodyMayComeJustBeforeAReadThatFindsData) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  Pipe pipe = Pipe::create().value();
                  (void)pipe.write_end.write_some("1");
                  auto other = spawn([&] { order += 'o'; });
                  order += 'm';
                  char byte = 0;
                  (void)pipe.read_end.read_some({&byte, 1});
                  order += byte;
                  other.join();
                  orders.insert(order);
                },
                1),
            (Orders{"om1", "mo1", "m1o"}));
}

TEST_F(ChoicePointTest, JoinIsAChoiceThoughTheFiberHasEnded) {
  EXPECT_EQ(outcomes_of<std::string>(
                [](Orders& orders) {
                  std::string order;
                  auto ended = spawn([] {});
                  auto other = spawn([&] {
                    this_fiber::yield();
                    order += 'o';
                  });
                  while (!ended.wait(Deadline::after(1s))) continue;
                  order += 'm';
                  ended.join();
                  order += 'j';
                  other.join();
                  orders.insert(order);
                },
                3),
            (Orders{"omj", "moj", "mjo"}));
}

// On two workers the fiber may see the flag and end between the two.
TEST_F(ChoicePointTest, SomebodyMayComeJustBeforeAJoinThatTimesOut) {
  EXPECT_TRUE(outcomes_of<std::string>(
                  [](Orders& orders) {
                    bool flag = false;
                    bool seen = false;
                    auto looker = spawn([&] { seen = flag; });
                    flag = true;
                    const bool ended = looker.wait(Deadline::after(0s));
                    if (ended && seen) orders.insert("seen, and ended");
                    looker.join();
                  },
                  testing::kUnbounded)
                  .contains("seen, and ended"));
}

TEST_F(ChoicePointTest, SomebodyMayComeJustBeforeALookWhetherItIsOpen) {
  EXPECT_TRUE(outcomes_of<std::string>(
                  [](Orders& orders) {
                    bool flag = false;
                    bool seen = false;
                    Pipe pipe = Pipe::create().value();
                    auto closer = spawn([&] {
                      seen = flag;
                      (void)pipe.read_end.close();
                    });
                    flag = true;
                    const bool open = pipe.read_end.is_open();
                    if (!open && seen) orders.insert("seen, and closed");
                    closer.join();
                  },
                  testing::kUnbounded)
                  .contains("seen, and closed"));
}

TEST_F(ChoicePointTest, SomebodyMayBeReadingJustBeforeARelease) {
  EXPECT_TRUE(outcomes_of<std::string>(
                  [](Orders& orders) {
                    bool flag = false;
                    bool seen = false;
                    auto pair = UnixStream::pair().value();
                    auto reader = spawn([&] {
                      seen = flag;
                      char byte = 0;
                      (void)pair.first.read_some({&byte, 1});
                    });
                    flag = true;
                    const auto number = pair.first.release();
                    if (number) ::close(*number);
                    if (!number && number.error() == Errc::kBusy && seen) orders.insert("busy");
                    (void)pair.second.close();
                    reader.join();
                  },
                  testing::kUnbounded)
                  .contains("busy"));
}

// One who parks, too, leaves the choice among all the others.
TEST_F(ChoicePointTest, AnyOfThoseInLineMayGoOnWhenOneParks) {
  const auto orders = outcomes_of<std::string>(
      [](Orders& all) {
        std::string order;
        std::array<JoinHandle<void>, 3> fibers;
        for (char name = 'a'; name <= 'c'; ++name) {
          fibers[static_cast<std::size_t>(name - 'a')] = spawn([&order, name] { order += name; });
        }
        for (auto& fiber : fibers) fiber.join();
        all.insert(order);
      },
      testing::kUnbounded);
  EXPECT_EQ(orders.size(), 6U);
}

}  // namespace
}  // namespace rearm::test
