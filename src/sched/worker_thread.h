// What a runtime's options ask of the threads that its workers run on: names and processors.
//
// The calls that do it are each system's own, and here alone.
#pragma once

#include <cstddef>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace rearm::detail {

// Names a thread for debuggers and `top`: `prefix` and, behind it, `number`; cut to what the system
// takes, the prefix first. Does nothing where threads have no names, or for an empty prefix.
void name_thread(std::thread& thread, std::string_view prefix, std::size_t number) noexcept;

// How many processors a thread can be bound to by number, from 0; 0 where it cannot be.
[[nodiscard]] unsigned bindable_processors() noexcept;

// Lets the calling thread, and those that it starts, run on some processors alone, until this
// object is gone.
class BoundHere {
 public:
  BoundHere() noexcept = default;
  BoundHere(const BoundHere&) = delete;
  BoundHere& operator=(const BoundHere&) = delete;
  // REQUIRES: on the thread that was bound.
  ~BoundHere();

  // Errors: the system's, EINVAL if the thread may use none of them. At most once.
  [[nodiscard]] std::error_code bind(const std::vector<unsigned>& cpus) noexcept;

 private:
#if defined(__linux__)
  cpu_set_t before_;
  bool is_bound_ = false;
#endif
};

}  // namespace rearm::detail
