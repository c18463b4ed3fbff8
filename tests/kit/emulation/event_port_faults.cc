// The counters are relaxed atomics, so that they give ThreadSanitizer no order that the program
// under test does not make itself.
#include "emulation/event_port_faults.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace rearm::test {
namespace event_port {
namespace {

EventPortFaults from_environment() {
  const char* const text = std::getenv("REARM_PORT_FAULTS");
  if (text == nullptr || *text == '\0') return {};
  constexpr std::string_view kSpurious = "spurious:";
  if (std::string_view(text).starts_with(kSpurious)) {
    return event_port_spurious(std::strtoull(text + kSpurious.size(), nullptr, 10));
  }
  return event_port_mixture(std::strtoull(text, nullptr, 10));
}

EventPortFaults current = from_environment();
std::atomic<std::uint64_t> draws{0};

constexpr std::size_t kNumbers = 4096;  // Higher numbers share a counter: never used in tests.
std::array<std::atomic<int>, kNumbers> associating{};
std::atomic<std::uint64_t> closed_associates{0};
std::atomic<std::uint64_t> associates_at_once{0};
std::atomic<std::uint64_t> associates_outside_life{0};
std::atomic<std::uint64_t> associates_of_another_life{0};
std::atomic<std::uint64_t> dissociates_during_associate{0};

constexpr auto kRelaxed = std::memory_order_relaxed;

// splitmix64 (Steele, Lea and Flood 2014): good enough, and any seed will do.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E37'79B9'7F4A'7C15;
  x = (x ^ (x >> 30)) * 0xBF58'476D'1CE4'E5B9;
  x = (x ^ (x >> 27)) * 0x94D0'49BB'1331'11EB;
  return x ^ (x >> 31);
}

std::atomic<int>& associating_on(int fd) {
  return associating[static_cast<std::size_t>(fd) % kNumbers];
}

}  // namespace

const EventPortFaults& faults() { return current; }

unsigned draw(unsigned limit) {
  if (limit == 0) return 0;
  return static_cast<unsigned>(mix(current.seed + mix(draws.fetch_add(1, kRelaxed))) % limit);
}

bool happens(unsigned per_thousand) { return per_thousand != 0 && draw(1000) < per_thousand; }

void note_closed_associate() { closed_associates.fetch_add(1, kRelaxed); }
void note_associate_outside_life() { associates_outside_life.fetch_add(1, kRelaxed); }
void note_associate_of_another_life() { associates_of_another_life.fetch_add(1, kRelaxed); }
void note_dissociate(int fd) {
  if (associating_on(fd).load(kRelaxed) != 0) dissociates_during_associate.fetch_add(1, kRelaxed);
}

AssociateInProgress::AssociateInProgress(int fd) : fd_(fd) {
  if (associating_on(fd).fetch_add(1, kRelaxed) != 0) associates_at_once.fetch_add(1, kRelaxed);
}

AssociateInProgress::~AssociateInProgress() { associating_on(fd_).fetch_sub(1, kRelaxed); }

}  // namespace event_port

EventPortFaults event_port_mixture(std::uint64_t seed) {
  return {.seed = seed,
          .etime_with_events = 250,
          .eintr = 125,
          .einval = 60,
          .fired_mask_zero = 60,
          .late_copy = 60,
          .late_copy_us = 50,
          .lost_hand_off = 125,
          .narrow_mask = 250};
}

EventPortFaults event_port_spurious(std::uint64_t seed) {
  return {.seed = seed, .spurious_pollin = 125};
}

ScopedEventPortFaults::ScopedEventPortFaults(const EventPortFaults& faults)
    : before_(std::exchange(event_port::current, faults)) {
  event_port::draws.store(0, event_port::kRelaxed);
}

ScopedEventPortFaults::~ScopedEventPortFaults() { event_port::current = before_; }

EventPortHooks& event_port_hooks() {
  static EventPortHooks hooks;
  return hooks;
}

EventPortBreaches take_event_port_breaches() {
  const auto take = [](std::atomic<std::uint64_t>& count) {
    return count.exchange(0, event_port::kRelaxed);
  };
  return {.associates_of_closed_numbers = take(event_port::closed_associates),
          .associates_at_once = take(event_port::associates_at_once),
          .associates_outside_life = take(event_port::associates_outside_life),
          .associates_of_another_life = take(event_port::associates_of_another_life),
          .dissociates_during_associate = take(event_port::dissociates_during_associate)};
}

std::string take_event_port_breaches_in_words() {
  const EventPortBreaches taken = take_event_port_breaches();
  std::string text;
  const auto add = [&text](std::uint64_t times, const char* what) {
    if (times == 0) return;
    if (!text.empty()) text += "; ";
    text += std::string(what) + ", times " + std::to_string(times);
  };
  add(taken.associates_of_closed_numbers, "arm of a number that is closed");
  add(taken.associates_at_once, "two arms of one descriptor at once");
  add(taken.associates_outside_life, "arm outside the descriptor's life");
  add(taken.associates_of_another_life, "arm with the token of another life");
  add(taken.dissociates_during_associate, "remove during an arm");
  return text;
}

}  // namespace rearm::test
