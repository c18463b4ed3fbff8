#include "base/errno.h"

#include <cerrno>

namespace rearm::detail {

// The empty statement keeps link-time optimisation from treating the function as pure.
[[gnu::noinline]] int current_errno() noexcept {
  asm volatile("");
  return errno;
}

}  // namespace rearm::detail
