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
#if defined(__linux__)
#include "support/forgetting_backend.h"
#endif

namespace rearm::test {

#if !defined(__linux__)
// It is made of epoll. Elsewhere it is a name that no poller has, and a witness that saw nothing.
struct ForgettingBackend {
  static constexpr std::string_view kName = "forgetting";
  [[nodiscard]] static std::string take_breaches() { return {}; }
};
#endif

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
#if defined(__linux__)
  all.push_back(ForgettingBackend::kName);
#endif
  return all;
}

// A poller over a backend that is open already.
[[nodiscard]] inline Poller poller_over(std::unique_ptr<detail::Backend> backend) {
  Poller poller = Poller::open({.backend = Poller::backends().front()}).value();
  core_of(poller) = std::make_unique<detail::PollerCore>(std::move(backend));
  return poller;
}

// For tests that put something between the poller and its backend.
[[nodiscard]] inline Result<std::unique_ptr<detail::Backend>> open_tested_backend(
    std::string_view name) {
#if defined(__linux__)
  if (name == ForgettingBackend::kName) {
    auto backend = std::make_unique<ForgettingBackend>();
    if (const std::error_code error = backend->open()) return std::unexpected(error);
    return backend;
  }
#endif
  return detail::open_backend(name);
}

[[nodiscard]] inline Result<Poller> open_poller(std::string_view name) {
  if (name != ForgettingBackend::kName) return Poller::open({.backend = name});
  auto backend = open_tested_backend(name);
  if (!backend) return std::unexpected(backend.error());
  return poller_over(std::move(*backend));
}

// For INSTANTIATE_TEST_SUITE_P: the name of the backend in the name of the test.
inline std::string backend_test_name(const ::testing::TestParamInfo<std::string_view>& info) {
  return std::string(info.param);
}

}  // namespace rearm::test
