// Random: numbers that a seed decides, the same on every system.
#pragma once

#include <bit>
#include <cstdint>

namespace rearm::torture {

// A one-to-one mixing of 64 bits (the finalizer of splitmix64).
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

// A value: each user has one of its own.
class Random {
 public:
  // `stream` keeps the users of one seed apart.
  Random(std::uint64_t seed, std::uint64_t stream) noexcept : state_(mix(seed) + mix(~stream)) {}

  [[nodiscard]] std::uint64_t next() noexcept { return mix(state_ += 0x9e3779b97f4a7c15U); }

  // REQUIRES: limit > 0.
  [[nodiscard]] std::uint32_t below(std::uint32_t limit) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32) * limit) >> 32);
  }
  [[nodiscard]] bool one_in(std::uint32_t n) noexcept { return below(n) == 0; }

  // From 1 to `most`, each power of two as likely as another: mostly small, sometimes large.
  // REQUIRES: most > 0.
  [[nodiscard]] std::uint32_t up_to(std::uint32_t most) noexcept {
    const auto bits = below(static_cast<std::uint32_t>(std::bit_width(most)));
    const std::uint32_t value = (1U << bits) + below(1U << bits);
    return value < most ? value : most;
  }

 private:
  std::uint64_t state_;
};

}  // namespace rearm::torture
