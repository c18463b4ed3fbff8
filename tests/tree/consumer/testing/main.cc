// The smallest test of a program of fibers.
#include "rearm/rearm.h"
#include "rearm/testing.h"

int main() {
  const auto report = rearm::testing::explore(
      [] {
        auto fiber = rearm::spawn([] { rearm::this_fiber::yield(); });
        rearm::this_fiber::yield();
        fiber.join();
      },
      {.strategy = rearm::testing::Strategy::kExhaustive});
  return report && report.complete && report.runs > 1 ? 0 : 1;
}
