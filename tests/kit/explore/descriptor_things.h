// What lies in a DescriptorWorld; for its two sources only.
#pragma once

#include <array>
#include <cstdint>

#include "base/thread_parker.h"
#include "explore/descriptor_world.h"
#include "rearm/net/stream.h"
#include "rearm/runtime.h"
#include "sched/scheduler.h"

namespace rearm::explore {

inline constexpr std::array kDirections = {Direction::kRead, Direction::kWrite};

// How one thread's call ended.
struct Outcome {
  bool is_over = false;
  bool succeeded = false;
  int error = 0;  // Of the library's own; -1: another one.
};

// Lies in the arena, so that each execution begins with it as it was.
struct DescriptorWorld::Things {
  explicit Things(Class kind) : runtime({.workers = 1, .backend = explore::name_of(kind)}) {}

  Runtime runtime;
  Stream fd;
  std::array<Stream, kMaxThreads> reopened;
  int number = -1;
  int file = -1;
  detail::Descriptor* descriptor = nullptr;
  std::uint32_t generation = 0;

  std::array<detail::ThreadParker, 2> parkers;
  std::array<detail::Parked, 2> waiters{detail::Parked(parkers[0]), detail::Parked(parkers[1])};
  std::array<bool, 2> is_parked{};

  // Of each thread that is inside collect(): the life of slot 0 that was open when it looked last.
  std::array<std::uint32_t, kMaxThreads> looked_at{};
  std::array<bool, kMaxThreads> is_delivering{};

  std::array<Outcome, kMaxThreads> outcomes{};
  int phase = 0;
  int clock = 0;           // Counts what the next two remember.
  int last_wake = 0;       // When the last wake() began.
  int last_collected = 0;  // When the last collect() returned.
  int collecting = 0;      // Threads inside collect().

  [[nodiscard]] detail::PollerCore& poller() { return runtime.scheduler().poller(); }
};

}  // namespace rearm::explore
