// RaceTest: a fixture for the races of the descriptor, with a poller over the named backend.
//
// Descriptors are eventfds: the cheapest that can be opened, made readable and closed. A fresh one
// is writable and not readable.
#pragma once

#include <sys/eventfd.h>

#include <cstdint>

#include <gtest/gtest.h>

#include "support/poller_test.h"
#include "support/race.h"
#include "support/scale.h"

namespace rearm::test {

class RaceTest : public PollerTest {
 protected:
  static UniqueFd event_fd(std::uint64_t value = 0) {
    return UniqueFd(
        require(::eventfd(static_cast<unsigned>(value), EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"));
  }
  static void make_readable(int fd) {
    const std::uint64_t one = 1;
    (void)require(static_cast<int>(::write(fd, &one, sizeof(one))), "write");
  }

  // Takes the reports that are on their way to nobody.
  void settle() { (void)collect_now(); }
};

}  // namespace rearm::test
