// Resident memory of a parked fiber: spawns many, lets each park in a sleep, and divides what the
// process has grown by. What a parked connection takes is measured on the echo server, from
// outside.

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "rearm/rearm.h"
#include "server_probe.h"
#include "support.h"

namespace {

struct Growth {
  bench::ResidentMemory before;
  bench::ResidentMemory after;
};

Growth park_fibers(rearm::Runtime& runtime, std::size_t count) {
  const bench::ServerProbe self(getpid());
  return runtime.run([&] {
    Growth growth{.before = self.resident_memory(), .after = {}};
    std::size_t parked = 0;
    for (std::size_t index = 0; index < count; ++index) {
      rearm::spawn([&parked] {
        ++parked;
        (void)rearm::this_fiber::sleep_for(std::chrono::hours(1));
      }).detach();
    }
    while (parked < count) rearm::this_fiber::yield();
    growth.after = self.resident_memory();
    runtime.request_stop();
    return growth;
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t fibers = 100'000;
  CLI::App app{"Resident memory of a parked fiber; prints one JSON object"};
  app.add_option("--fibers", fibers)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  rearm::Runtime runtime({.workers = 1});
  const Growth growth = park_fibers(runtime, fibers);
  const auto per_fiber = [fibers](std::int64_t before, std::int64_t after) {
    return static_cast<double>(after - before) / static_cast<double>(fibers);
  };
  std::printf(
      "{\"fibers\": %zu, \"rss_bytes_per_fiber\": %.1f, "
      "\"anonymous_bytes_per_fiber\": %.1f}\n",
      fibers, per_fiber(growth.before.rss_bytes, growth.after.rss_bytes),
      per_fiber(growth.before.anonymous_bytes, growth.after.anonymous_bytes));
  return 0;
}
