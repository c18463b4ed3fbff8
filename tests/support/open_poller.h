// Opens a Poller over any backend by name: those of the build, and those that only tests have.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "poller/poller_core.h"
#include "rearm/poller.h"
#include "support/forgetting_backend.h"

namespace rearm::test {

// Poller has no public way in for a backend that is not in the build, and needs none. The rules of
// access do not apply to the arguments of an explicit instantiation, so tests go in through that.
template <auto Member>
struct PollerDoor {
  friend std::unique_ptr<detail::PollerCore>& core_of(Poller& poller) { return poller.*Member; }
};
std::unique_ptr<detail::PollerCore>& core_of(Poller& poller);
template struct PollerDoor<&Poller::core_>;

// The names of the backends to test: all in the build, then the test's own.
[[nodiscard]] inline std::vector<std::string_view> tested_backends() {
  const auto names = Poller::backends();
  std::vector<std::string_view> all(names.begin(), names.end());
  all.push_back(ForgettingBackend::kName);
  return all;
}

// A poller over a backend that is open already.
[[nodiscard]] inline Poller poller_over(std::unique_ptr<AnyBackend> backend) {
  Poller poller = Poller::open({.backend = Poller::backends().front()}).value();
  core_of(poller) = std::make_unique<detail::PollerCore>(std::move(backend));
  return poller;
}

[[nodiscard]] inline Result<Poller> open_poller(std::string_view name) {
  if (name != ForgettingBackend::kName) return Poller::open({.backend = name});
  auto backend = std::make_unique<BackendAdapter<ForgettingBackend>>();
  if (const std::error_code error = backend->open()) return std::unexpected(error);
  return poller_over(std::move(backend));
}

// For INSTANTIATE_TEST_SUITE_P: the name of the backend in the name of the test.
inline std::string backend_test_name(const ::testing::TestParamInfo<std::string_view>& info) {
  return std::string(info.param);
}

}  // namespace rearm::test
