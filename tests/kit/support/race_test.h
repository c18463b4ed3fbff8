// RaceTest: a fixture for the races of the descriptor, with a poller over the named backend.
//
// Descriptors are eventfds: the cheapest that can be opened, made readable and closed. A fresh one
// is writable and not readable.
#pragma once

#include <gtest/gtest.h>

#include "support/poller_test.h"
#include "support/race.h"
#include "support/scale.h"

namespace rearm::test {

class RaceTest : public PollerTest {
 protected:
  // Takes the reports that are on their way to nobody.
  void settle() { (void)collect_now(); }

  // The poller is the same code over every kernel, so two backends run all the rounds: the default,
  // which remembers, and the one that forgets under a witness's eyes. The others run a
  // twenty-fifth.
  static std::uint64_t rounds(std::uint64_t all) {
    const bool in_full = GetParam() == "event_port" || GetParam() == Poller::backends().front();
    return scaled(in_full ? all : all / 25);
  }
};

}  // namespace rearm::test
