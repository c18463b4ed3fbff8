// this_thread(): an address that no other thread has at the same time. To compare, not to use.
//
// Part of the seam (atomic.h). Defined apart, where no caller's compiler sees it: it could keep the
// address of a thread-local across a switch of fibers.
#pragma once

namespace rearm::detail {

[[nodiscard]] const void* this_thread() noexcept;

}  // namespace rearm::detail
