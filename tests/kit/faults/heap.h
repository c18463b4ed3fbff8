// Heap: this program's operator new, which fails when it is told to.
//
// How it works. While a shortage is in force it counts the library's allocations, and fails the
// n-th, alone or with all that follow it. Whoever runs then and is not the library allocates
// nothing, or within a Relief. What is allocated within a system call is the kernel's, which for
// the emulated ones is this heap: the gate (syscalls.h) knows. Each block says in the byte before
// it whether it was counted, so that what the library still holds is known at any time.
//
// Under sanitizers too: they see the malloc() below.
//
// Thread safety: operator new from any thread. A Shortage or a Relief begins and ends where no
// other thread needs memory.
#pragma once

#include <cstdint>

namespace rearm::test::faults {

enum class Lasting : std::uint8_t { kOnce, kFromThenOn };

class Shortage {
 public:
  // `n` counts from 1; none fails for 0.
  Shortage(std::uint64_t n, Lasting lasting);
  ~Shortage();
  Shortage(const Shortage&) = delete;
  Shortage& operator=(const Shortage&) = delete;

  // How many allocations there were, and how many of them failed; also after its end, until the
  // next one begins.
  [[nodiscard]] static std::uint64_t allocations();
  [[nodiscard]] static std::uint64_t failures();
};

// Within its scope there is memory, and nothing is counted.
class Relief {
 public:
  Relief();
  ~Relief();
  Relief(const Relief&) = delete;
  Relief& operator=(const Relief&) = delete;

 private:
  bool was_short_;
};

// How many of the blocks that were allocated in a shortage have not been given back.
[[nodiscard]] std::int64_t blocks_held();

}  // namespace rearm::test::faults
