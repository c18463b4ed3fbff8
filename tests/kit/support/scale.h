// How long the tests that go by rounds run: REARM_TEST_SCALE multiplies them (1 by default).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace rearm::test {

[[nodiscard]] inline std::uint64_t scaled(std::uint64_t rounds) {
  const char* const text = std::getenv("REARM_TEST_SCALE");
  const double scale = text != nullptr ? std::strtod(text, nullptr) : 1.0;
  const double product = static_cast<double>(rounds) * std::max(scale, 0.0);
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(product));
}

}  // namespace rearm::test
