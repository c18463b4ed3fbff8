// Neighbours: plain threads that make life hard without touching the library.
//
// What they do
//   run_numbers   takes and gives back descriptor numbers as fast as it can, so that each number
//                 the library closes has a new owner at once. Each of its own descriptors holds
//                 something that nobody else may touch, and is the same file at its end: a
//                 system call of the library under a stranger's number is seen here.
//   run_holder    stops some thread of the process for a moment, at any instruction, by a signal
//                 whose handler sleeps: what is a window of a few instructions becomes one of
//                 milliseconds, wherever it is.
#pragma once

#include <cstddef>

#include "torture/world.h"

namespace rearm::torture {

// For the whole life of the process: a signal may be late.
void install_hold_handler();

// A fiber says that this thread is a worker; somebody else holds one of those who were named so.
void note_worker(World& world);
void hold_a_worker(World& world, Random& random);

// Both return when the world is over.
void run_numbers(World& world, std::size_t index);
void run_holder(World& world);

}  // namespace rearm::torture
