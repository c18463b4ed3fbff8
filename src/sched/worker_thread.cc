#include "sched/worker_thread.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/errno.h"
#include "rearm/error.h"

namespace rearm::detail {
#if defined(__linux__)

namespace {

cpu_set_t set_of(const std::vector<unsigned>& cpus) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const unsigned cpu : cpus) CPU_SET(cpu, &set);
  return set;
}

}  // namespace

#endif

void name_thread([[maybe_unused]] std::thread& thread, std::string_view prefix,
                 [[maybe_unused]] std::size_t number) noexcept {
  if (prefix.empty()) return;
#if defined(__linux__)
  std::array<char, 16> name{};  // The kernel's TASK_COMM_LEN.
  std::array<char, 8> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), number).ptr;
  const auto tail = static_cast<std::size_t>(end - digits.begin());
  const std::size_t head = prefix.copy(name.data(), name.size() - 1 - tail);
  std::copy(digits.begin(), end, name.begin() + static_cast<std::ptrdiff_t>(head));
  ::pthread_setname_np(thread.native_handle(), name.data());
#endif
}

unsigned bindable_processors() noexcept {
#if defined(__linux__)
  return CPU_SETSIZE;
#else
  return 0;
#endif
}

BoundHere::~BoundHere() {
#if defined(__linux__)
  if (is_bound_) ::sched_setaffinity(0, sizeof(before_), &before_);
#endif
}

std::error_code BoundHere::bind([[maybe_unused]] const std::vector<unsigned>& cpus) noexcept {
#if defined(__linux__)
  const cpu_set_t set = set_of(cpus);
  int result = system_call([&] { return ::sched_getaffinity(0, sizeof(before_), &before_); });
  if (result >= 0) {
    result = system_call([&] { return ::sched_setaffinity(0, sizeof(set), &set); });
  }
  if (result < 0) return error_of(result);
  is_bound_ = true;
  return {};
#else
  return Errc::kNotSupported;
#endif
}

}  // namespace rearm::detail
