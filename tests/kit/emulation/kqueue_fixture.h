// KqueueTest: a fixture with a kqueue, used through <sys/event.h> alone.
#pragma once

// clang-format off: older systems want the types first.
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
// clang-format on
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/sockets.h"

namespace rearm::test {

using Kevent = struct ::kevent;
using Kevents = std::vector<Kevent>;

// A pipe with a name, which is gone again: the systems treat its ends differently.
[[nodiscard]] inline FdPair fifo_pair() {
  char directory[] = "/tmp/rearm_kqueue_XXXXXX";
  (void)require(::mkdtemp(directory) == nullptr ? -1 : 0, "mkdtemp");
  const std::string path = std::string(directory) + "/fifo";
  (void)require(::mkfifo(path.c_str(), 0600), "mkfifo");
  constexpr int kFlags = O_NONBLOCK | O_CLOEXEC;
  FdPair pair;
  pair.a = UniqueFd(require(::open(path.c_str(), O_RDONLY | kFlags), "open"));
  pair.b = UniqueFd(require(::open(path.c_str(), O_WRONLY | kFlags), "open"));
  (void)::unlink(path.c_str());
  (void)::rmdir(directory);
  return pair;
}

class KqueueTest : public ::testing::Test {
 protected:
  static constexpr int kPatienceMs = 10'000;
  static constexpr int kQuietMs = 20;

  void SetUp() override { open(); }

  void open() {
    kq_ = UniqueFd(::kqueue());
    ASSERT_GE(kq_.get(), 0);
  }

  // By hand, because each system has its own types.
  static Kevent change(int fd, int filter, unsigned flags, std::uintptr_t udata = 0) {
    Kevent one{};
    one.ident = static_cast<std::uintptr_t>(fd);
    one.filter = static_cast<decltype(one.filter)>(filter);
    one.flags = static_cast<decltype(one.flags)>(flags);
    one.udata = reinterpret_cast<decltype(one.udata)>(udata);
    return one;
  }

  static Kevent trigger(unsigned flags = 0, std::uintptr_t udata = 0) {
    Kevent one = change(7, EVFILT_USER, flags, udata);
    one.fflags = NOTE_TRIGGER;
    return one;
  }

  static std::uintptr_t udata_of(const Kevent& event) {
    return reinterpret_cast<std::uintptr_t>(event.udata);
  }

  // Applies one change; returns its errno, or 0.
  [[nodiscard]] int apply(const Kevent& one) const {
    return ::kevent(kq_.get(), &one, 1, nullptr, 0, nullptr) == 0 ? 0 : errno;
  }
  [[nodiscard]] int apply(int fd, int filter, unsigned flags, std::uintptr_t udata = 0) const {
    return apply(change(fd, filter, flags, udata));
  }

  // The events that come within a time; negative is for ever.
  [[nodiscard]] Kevents take(int timeout_ms = 0, std::size_t room = 16) const {
    Kevents events(room);
    const timespec timeout{.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1'000'000L};
    const int count = ::kevent(kq_.get(), nullptr, 0, events.data(), static_cast<int>(room),
                               timeout_ms < 0 ? nullptr : &timeout);
    EXPECT_GE(count, 0) << errno;
    events.resize(static_cast<std::size_t>(count < 0 ? 0 : count));
    return events;
  }

  // Applies changes with room for their receipts.
  [[nodiscard]] Kevents receipts_of(const Kevents& changes) const {
    Kevents events(changes.size());
    const timespec at_once{};
    const int count = ::kevent(kq_.get(), changes.data(), static_cast<int>(changes.size()),
                               events.data(), static_cast<int>(events.size()), &at_once);
    EXPECT_GE(count, 0) << errno;
    events.resize(static_cast<std::size_t>(count < 0 ? 0 : count));
    return events;
  }

  [[nodiscard]] bool add_user(unsigned flags = EV_ADD | EV_CLEAR) const {
    return apply(7, EVFILT_USER, flags) == 0;
  }

  UniqueFd kq_;
};

}  // namespace rearm::test
