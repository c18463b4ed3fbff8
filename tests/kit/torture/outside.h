// Outsiders: clients on plain threads, with plain poll(2) and non-blocking sockets.
//
// They share nothing with the library but the kernel, so what they see of the server is what a
// stranger would see. Each thread drives a share of the connections: a state machine each, that
// follows its plan and begins anew, with the next number, when the plan has ended.
#pragma once

#include <cstddef>

#include "torture/world.h"

namespace rearm::torture {

// Drives `connections` connections at a time until the world is over and all of them have ended.
void run_outsider(World& world, std::size_t connections, std::size_t index);

}  // namespace rearm::torture
