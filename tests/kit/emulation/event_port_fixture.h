// EventPortTest: a fixture with an event port, used through <port.h> alone.
#pragma once

#include <poll.h>
#include <port.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/sockets.h"
#include "support/threads.h"

namespace rearm::test {

class EventPortTest : public ::testing::Test {
 protected:
  void SetUp() override { port_ = UniqueFd(require(::port_create(), "port_create")); }

  [[nodiscard]] int port() const { return port_.get(); }

  // A cookie that says which it is.
  static void* cookie(std::uintptr_t number) { return reinterpret_cast<void*>(number); }
  static std::uintptr_t number_of(const port_event_t& event) {
    return reinterpret_cast<std::uintptr_t>(event.portev_user);
  }

  [[nodiscard]] int associate(int fd, int events, std::uintptr_t number = 0) const {
    return ::port_associate(port(), PORT_SOURCE_FD, static_cast<std::uintptr_t>(fd), events,
                            cookie(number));
  }
  [[nodiscard]] int dissociate(int fd) const {
    return ::port_dissociate(port(), PORT_SOURCE_FD, static_cast<std::uintptr_t>(fd));
  }
  [[nodiscard]] int send(std::uintptr_t number) const {
    return ::port_send(port(), 1, cookie(number));
  }

  [[nodiscard]] unsigned queued() const {
    unsigned count = 0;
    EXPECT_EQ(::port_getn(port(), nullptr, 0, &count, nullptr), 0);
    return count;
  }

  // What port_getn() says: its result, the errno, the count it left, and the list.
  struct Got {
    int result = 0;
    int error = 0;
    unsigned count = 0;
    std::vector<port_event_t> events;
  };

  [[nodiscard]] Got getn(unsigned max, unsigned minimum, timespec* timeout) const {
    Got got;
    got.events.resize(std::max(max, 1U));
    got.count = minimum;
    got.result = ::port_getn(port(), got.events.data(), max, &got.count, timeout);
    got.error = got.result == 0 ? 0 : errno;
    got.events.resize(std::min(got.count, max));
    return got;
  }
  // What is there now.
  [[nodiscard]] Got take(unsigned max = 16) const {
    timespec none{};
    return getn(max, 1, &none);
  }
  // At least one, however long it takes.
  [[nodiscard]] Got await(unsigned max = 16) const { return getn(max, 1, nullptr); }

  static constexpr timespec kShort{.tv_sec = 0, .tv_nsec = 5'000'000};
  static constexpr timespec kLong{.tv_sec = 10, .tv_nsec = 0};

  UniqueFd port_;
};

// A thread that waits in port_getn(); made, it sleeps there.
class PortWaiter {
 public:
  explicit PortWaiter(int port, unsigned minimum = 1, const timespec* timeout = nullptr)
      : timeout_(timeout != nullptr ? *timeout : timespec{}),
        thread_([this, port, minimum, forever = timeout == nullptr] {
          sleeper_.here();
          count = minimum;
          result = ::port_getn(port, events, kMax, &count, forever ? nullptr : &timeout_);
          error = result == 0 ? 0 : errno;
          is_back = true;
        }) {
    EXPECT_TRUE(sleeper_.await_asleep());
  }
  ~PortWaiter() { join(); }
  PortWaiter(const PortWaiter&) = delete;
  PortWaiter& operator=(const PortWaiter&) = delete;

  void join() {
    if (thread_.joinable()) thread_.join();
  }
  void interrupt(int signal) { ::pthread_kill(thread_.native_handle(), signal); }

  static constexpr unsigned kMax = 8;
  // To be read after join().
  int result = 0;
  int error = 0;
  unsigned count = 0;
  port_event_t events[kMax]{};

  std::atomic<bool> is_back{false};

 private:
  timespec timeout_;
  Sleeper sleeper_;
  std::thread thread_;
};

}  // namespace rearm::test
