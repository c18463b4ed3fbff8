// Arena: the heap of a world, so that a fresh world is a copy.
//
// What this is. While an arena is in use, operator new takes from it and operator delete gives
// nothing back. A world is built once, by the library's own constructors; save() keeps a copy of
// what was built, and restore() puts it back before each execution, at the same addresses: half a
// microsecond instead of the constructors, and no address differs from one execution to the next.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rearm::explore {

class Arena {
 public:
  // From here on operator new takes from the arena.
  static void enter() noexcept;
  static void leave() noexcept;

  // Two copies can be kept: of what outlives a world (the table of descriptors), and of a world.
  enum class Copy : std::uint8_t { kGround, kWorld };
  static void save(Copy copy);
  // Forgets what was built since.
  static void restore(Copy copy) noexcept;

  // Memory outside the arena that belongs to the world: saved and restored with it.
  static void include(void* address, std::size_t bytes);
};

// Between enter() and leave().
class InArena {
 public:
  InArena() noexcept { Arena::enter(); }
  ~InArena() { Arena::leave(); }
  InArena(const InArena&) = delete;
  InArena& operator=(const InArena&) = delete;
};

}  // namespace rearm::explore
