// Duels: a report, a close, and the next owner of the number, all at the same instant.
//
// This is the race that the library is named after, sought on purpose. A descriptor has a fiber
// parked in each direction. A plain thread makes it readable, so that the poller collects a report
// and, on a kernel that forgets, must arm the other direction again; and the same thread closes it
// in that moment. The number is then given to a new socket, adopted at once, and a fiber waits on
// it. A byte is sent: it must arrive. A late re-arm on behalf of the former owner would have
// replaced the new one's association, and the new one would wait for ever.
//
// What aims it: the poller's count of waits says when a worker has come back from the kernel; then
// the close is made, often with some worker held. Still a window of a few instructions is hit
// seldom. That each guard of the re-arm is needed is shown by tests/kit/race/, which can stop the
// poller inside the window; this is for whatever those tests did not think of.
#pragma once

#include <cstddef>

#include "torture/world.h"

namespace rearm::torture {

// On a plain thread; returns when the world is over.
void run_duels(World& world, std::size_t index);

}  // namespace rearm::torture
