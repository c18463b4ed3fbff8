// EpollBackend by itself: what the conformance suite, which is for every kernel, does not ask.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "poller/backend_epoll.h"
#include "support/leak_check.h"
#include "support/sockets.h"

namespace rearm::test {
namespace {

class EpollBackendTest : public LeakCheck {
 protected:
  void SetUp() override {
    LeakCheck::SetUp();
    backend_ = std::make_unique<detail::EpollBackend>();
    ASSERT_FALSE(backend_->open());
  }
  void TearDown() override {
    backend_.reset();
    LeakCheck::TearDown();
  }

  // What one wait says of the one descriptor that there is.
  detail::Ready wait(Deadline deadline = Deadline::at_ns(0)) {
    std::array<detail::Event, 8> events;
    const detail::WaitResult result = backend_->wait(events, deadline);
    EXPECT_LE(result.count, 1U);
    return result.count == 0 ? detail::Ready::none() : events[0].ready;
  }

  std::unique_ptr<detail::EpollBackend> backend_;
};

// A read stops at the urgent mark, so a short one before it does not mean that the rest is gone.
TEST_F(EpollBackendTest, UrgentDataIsReportedAndSaysThatAShortReadProvesNothing) {
  constexpr Token kToken{.slot = 3, .generation = 5};
  const FdPair pair = tcp_pair();
  ASSERT_FALSE(backend_->add(pair.a.get(), kToken));
  while (!wait().empty()) continue;  // It is writable.
  ASSERT_EQ(::send(pair.b.get(), "!", 1, MSG_OOB), 1);
  const detail::Ready ready = wait(Deadline::after(std::chrono::seconds(10)));
  EXPECT_TRUE(ready.has(Direction::kRead));
  EXPECT_TRUE(ready.has_hang_up());
  backend_->remove(pair.a.get());
}

// The counter is full, so that the write of a wake fails. The wake may be called by a signal
// handler, which must leave errno alone; and an edge is pending already.
TEST_F(EpollBackendTest, AWakeThatFindsTheCounterFullLeavesErrnoAlone) {
  int counter = -1;
  for (const auto& [fd, target] : open_fds()) {
    if (target.find("eventfd") != std::string::npos) counter = fd;
  }
  ASSERT_GE(counter, 0);
  const std::uint64_t full = ~std::uint64_t{0} - 1;
  ASSERT_EQ(::write(counter, &full, sizeof(full)), static_cast<ssize_t>(sizeof(full)));
  errno = 1234;
  backend_->wake();
  EXPECT_EQ(errno, 1234);
  std::array<detail::Event, 8> events;
  EXPECT_TRUE(backend_->wait(events, Deadline::after(std::chrono::seconds(10))).woken);
}

}  // namespace
}  // namespace rearm::test
