// WaitGroup: counts what is in progress, up and down, and lets go who waits when it is at zero.
//
//   rearm::WaitGroup group;
//   for (auto& request : requests) {
//     group.add();
//     rearm::spawn([&] { ...; group.done(); }).detach();
//   }
//   auto all_done = group.wait();
//
// add() comes before what it counts can be done. It may go up again after it was at zero. Fibers
// and plain threads, on the same object. What was done before a done() is seen by who returns from
// wait(), who may destroy the group at once.
#pragma once

#include <cstdint>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {
class CountGate;
}  // namespace detail

class WaitGroup {
 public:
  WaitGroup();
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;
  // REQUIRES: nobody waits.
  ~WaitGroup();

  // Neither waits. REQUIRES: the count stays between 0 and INT64_MAX / 8; anything else stops the
  // process.
  void add(std::int64_t n = 1) noexcept;
  void done() noexcept;

  // Errors: kTimedOut, kCancelled (the fiber or its run was asked to stop). May park. A standing
  // deadline means never.
  [[nodiscard]] Result<void> wait(Deadline deadline = {}) noexcept;

 private:
  detail::Hidden<detail::CountGate> gate_;
};

}  // namespace rearm
