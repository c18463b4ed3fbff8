// The conformance suite: what every backend must do, on real descriptors.
//
// One fixture for all chapters, which are the files conformance_*_test.cc. conformance_test.cc says
// which backends it runs over: all in the build, and the test's own that forgets.
#pragma once

#include <chrono>

#include "rearm/deadline.h"
#include "support/poller_test.h"

namespace rearm::test {

using namespace std::chrono_literals;

class Conformance : public PollerTest {};

}  // namespace rearm::test
