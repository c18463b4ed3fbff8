// Every way to close a number is heard of, by the ports and by the kqueues that know it.
#include <fcntl.h>
#include <unistd.h>

#include <functional>

#include "emulation/event_port.h"
#include "emulation/event_port_fixture.h"
#include "emulation/kqueue_fixture.h"

namespace rearm::test {
namespace {

// Far above what the test program itself has open.
constexpr int kHigh = 900;

class CloseHookTest : public KqueueTest {
 protected:
  void SetUp() override {
    KqueueTest::SetUp();
    port_ = UniqueFd(require(::port_create(), "port_create"));
  }

  // Whether a number that a port and a kqueue know is unknown to both once it has been closed so.
  [[nodiscard]] bool is_heard(const std::function<void(int fd)>& close_it) const {
    const FdPair pair = socket_pair();
    send_text(pair.b.get(), "x");
    const int fd = require(::fcntl(pair.a.get(), F_DUPFD_CLOEXEC, kHigh), "F_DUPFD_CLOEXEC");
    EXPECT_EQ(apply(fd, EVFILT_READ, EV_ADD), 0);
    EXPECT_EQ(::port_associate(port_.get(), PORT_SOURCE_FD, static_cast<std::uintptr_t>(fd), POLLIN,
                               nullptr),
              0);
    EXPECT_TRUE(event_port_knows(port_.get(), fd));
    EXPECT_EQ(take().size(), 1U);
    close_it(fd);
    EXPECT_FALSE(is_open(fd));
    // The same file under the same number, which an inner epoll would take for the same thing.
    const UniqueFd again(::fcntl(pair.a.get(), F_DUPFD_CLOEXEC, fd));
    EXPECT_EQ(again.get(), fd);
    return !event_port_knows(port_.get(), fd) && take().empty();
  }

  UniqueFd port_;
};

TEST_F(CloseHookTest, CloseIsHeard) {
  EXPECT_TRUE(is_heard([](int fd) { EXPECT_EQ(::close(fd), 0); }));
}

TEST_F(CloseHookTest, CloseRangeIsHeardWhereItCloses) {
  EXPECT_TRUE(is_heard([](int fd) {
    const auto number = static_cast<unsigned>(fd);
    constexpr int kOnExecOnly = 4;  // CLOSE_RANGE_CLOEXEC
    EXPECT_EQ(::close_range(number, number + 10, kOnExecOnly), 0);
    EXPECT_TRUE(is_open(fd));
    EXPECT_EQ(::close_range(number, number + 10, 0), 0);
  }));
}

TEST_F(CloseHookTest, ClosefromIsHeard) {
  EXPECT_TRUE(is_heard([](int fd) { ::closefrom(fd); }));
}

}  // namespace
}  // namespace rearm::test
