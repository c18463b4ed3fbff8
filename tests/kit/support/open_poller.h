// Opens a Poller over any backend by name: those of the build, and those that only tests have.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "poller/backend.h"
#include "poller/poller_core.h"
#include "rearm/poller.h"
#ifdef REARM_EMULATED_KERNELS
#include "emulation/event_port.h"
#endif

namespace rearm::test {

// What the witness in the emulated event ports has seen so far of a contract that was broken, in
// words; empty if nothing, or if there are no emulations. Starts anew.
[[nodiscard]] inline std::string take_breaches() {
#ifdef REARM_EMULATED_KERNELS
  return take_event_port_breaches_in_words();
#else
  return {};
#endif
}

// Poller has no public way in for a backend that is not in the build, and needs none. The rules of
// access do not apply to the arguments of an explicit instantiation, so tests go in through that.
template <auto Member>
struct PollerDoor {
  friend std::unique_ptr<detail::PollerCore>& core_of(Poller& poller) { return poller.*Member; }
};
std::unique_ptr<detail::PollerCore>& core_of(Poller& poller);
template struct PollerDoor<&Poller::core_>;

// The names of the backends to test: all in the build.
[[nodiscard]] inline std::vector<std::string_view> tested_backends() {
  const auto names = Poller::backends();
  return {names.begin(), names.end()};
}

// A poller over a backend that is open already.
[[nodiscard]] inline Poller poller_over(std::unique_ptr<detail::Backend> backend) {
  Poller poller = Poller::open({.backend = Poller::backends().front()}).value();
  core_of(poller) = std::make_unique<detail::PollerCore>(std::move(backend));
  return poller;
}

[[nodiscard]] inline Result<Poller> open_poller(std::string_view name) {
  return Poller::open({.backend = name});
}

// For INSTANTIATE_TEST_SUITE_P: the name of the backend in the name of the test.
inline std::string backend_test_name(const ::testing::TestParamInfo<std::string_view>& info) {
  return std::string(info.param);
}

}  // namespace rearm::test
