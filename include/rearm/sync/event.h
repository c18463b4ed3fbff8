// Event: something that has happened or has not. Who waits goes on when it has.
//
//   rearm::Event ready;
//   auto fiber = rearm::spawn([&] { ...; ready.set(); });
//   if (auto waited = ready.wait(); !waited) return;   // told to stop
//
// It stays set until it is reset. Fibers and plain threads, on the same object. What was done
// before set() is seen by who returns from wait(), who may destroy the event at once.
#pragma once

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {
class CountGate;
class SelectCase;
}  // namespace detail

class Event {
 public:
  Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  // REQUIRES: nobody waits.
  ~Event();

  // Lets go everybody who waits. Does not wait. More than once is once.
  void set() noexcept;
  // For waits to come; those that were let go stay so. Does not wait.
  void reset() noexcept;
  [[nodiscard]] bool is_set() const noexcept;

  // Errors: kTimedOut, kCancelled (the fiber or its run was asked to stop). May park. A standing
  // deadline means never.
  [[nodiscard]] Result<void> wait(Deadline deadline = {}) noexcept;

 private:
  friend class detail::SelectCase;
  detail::Hidden<detail::CountGate> gate_;
};

}  // namespace rearm
