// Insiders: clients that are fibers, and the other fibers that keep the runtime busy.
//
// An insider follows the same plans as an outsider, through the library, with two fibers to a
// connection: one that writes and one that reads. The load computes, yields, sleeps, spawns and
// joins; its sums are checked.
#pragma once

#include "torture/world.h"

namespace rearm::torture {

// REQUIRES, for all of these: on a fiber. They return when the world is over.

// One connection after the other.
void run_insider(World& world, std::size_t index);

// Computes for a while, yields, sleeps: never earlier awake than it asked for.
void run_load(World& world, std::size_t index);

// Spawns and joins crowds of fibers; each does its part of a sum.
void run_crowds(World& world, std::size_t index);

// Datagrams there and back: what arrives is whole, and ours.
void run_datagrams(World& world, std::size_t index);

}  // namespace rearm::torture
