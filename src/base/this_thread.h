// What belongs to the calling thread. Part of the seam (atomic.h).
//
// Defined apart, where no caller's compiler sees it: it could keep the address of a thread-local
// across a switch of fibers.
#pragma once

#include <cstddef>

namespace rearm::detail {

// An address that no other thread has at the same time. To compare, not to use.
[[nodiscard]] const void* this_thread() noexcept;

// Another number at each call of a thread, for what is to be fair and nothing more.
[[nodiscard]] std::size_t next_turn_of_thread() noexcept;

}  // namespace rearm::detail
