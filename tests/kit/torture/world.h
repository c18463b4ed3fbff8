// World: what everybody in one run of the torture server shares.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "rearm/net/address.h"
#include "rearm/runtime.h"
#include "torture/ledger.h"
#include "torture/plan.h"
#include "torture/random.h"

namespace rearm::torture {

struct Options {
  double seconds = 10;
  std::uint64_t seed = 1;
  std::size_t workers = 3;
  std::size_t threads = 2;        // That drive clients from outside.
  std::size_t connections = 200;  // At once.
  std::string backend;
  double patience_s = 20;
  double epoch_s = 4;
  bool hold = true;  // Stop threads at any instruction, by signals.
};

// Written by the conductor (main.cc) between epochs, or atomic.
struct World {
  World(const Options& o, Ledger& l) : options(o), ledger(l) {}

  [[nodiscard]] Random random(std::uint64_t stream) const {
    return {options.seed, (std::uint64_t{epoch} << 32 | stream) + (std::uint64_t{1} << 60)};
  }
  [[nodiscard]] Plan plan_of(std::uint32_t id) const { return Plan::of(options.seed, id); }
  [[nodiscard]] bool is_over() const { return draining || stopping; }

  // Whether an operation of the library may have ended with this because of the stop: it was
  // cancelled, or the fiber at the other end was, and has left.
  [[nodiscard]] bool is_the_stop(std::error_code error) const {
    return stopping && (error == Errc::kCancelled || is_gone(error));
  }

  const Options& options;
  Ledger& ledger;
  std::uint32_t epoch = 0;
  Runtime* runtime = nullptr;
  SocketAddress tcp_address;
  SocketAddress unix_address;

  std::atomic<bool> draining{false};      // Nobody begins anything new.
  std::atomic<bool> stopping{false};      // The same, and the runtime has been asked to stop.
  std::atomic<std::size_t> outsiders{0};  // Plain threads that still need the runtime.

  static constexpr std::size_t kWorkers = 4;
  std::array<std::atomic<int>, kWorkers> workers{};  // Some of the runtime's threads; 0: unknown.

  std::atomic<std::uint32_t> next_id{1};
  std::atomic<std::uint64_t> open_now{0};  // Connections, as their clients see it.
  std::atomic<std::uint64_t> opened{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> served{0};     // Accepted, and over.
  std::atomic<std::uint64_t> complete{0};   // Of which a client got back every byte.
  std::atomic<std::uint64_t> inherited{0};  // Duels whose number had a new owner at once.
};

}  // namespace rearm::torture
