// The poller without fibers: a pipe becomes readable, and the waiter that waited comes back.
#include <unistd.h>

#include "rearm/poller.h"

namespace {

class PipeWaiter : public rearm::Waiter {};

}  // namespace

int main() {
  int ends[2];
  if (pipe(ends) != 0) return 1;

  rearm::Result<rearm::Poller> poller = rearm::Poller::open();
  if (!poller) return 2;
  const rearm::Result<rearm::Token> token = poller->add(ends[0]);
  if (!token) return 3;

  PipeWaiter waiter;
  const auto prepared = poller->wait(*token, rearm::Direction::kRead, waiter);
  if (prepared != rearm::Poller::Prepared::kParked) return 4;
  if (write(ends[1], "x", 1) != 1) return 5;
  rearm::WaiterList woken = poller->collect(rearm::Deadline::never());
  if (woken.pop_front() != &waiter || waiter.reason() != rearm::WakeReason::kReady) return 6;

  const bool closed = poller->close(*token).has_value();
  return closed && close(ends[1]) == 0 ? 0 : 7;
}
