// The faults of event_port.h, as the emulation consults them.
#pragma once

#include "emulation/event_port.h"

namespace rearm::test::event_port {

[[nodiscard]] const EventPortFaults& faults();

// Whether a fault of this rate happens now. No system call; any thread.
[[nodiscard]] bool happens(unsigned per_thousand);

// A number below `limit`, from the same sequence.
[[nodiscard]] unsigned draw(unsigned limit);

// Counts port_associate() calls for event_port.h.
void note_closed_associate();
void note_associate_outside_life();
void note_associate_of_another_life();
void note_dissociate(int fd);
class AssociateInProgress {
 public:
  explicit AssociateInProgress(int fd);
  ~AssociateInProgress();
  AssociateInProgress(const AssociateInProgress&) = delete;
  AssociateInProgress& operator=(const AssociateInProgress&) = delete;

 private:
  int fd_;
};

}  // namespace rearm::test::event_port
