#include "base/this_thread.h"

namespace rearm::detail {

const void* this_thread() noexcept {
  static thread_local constinit char thread = 0;
  return &thread;
}

std::size_t next_turn_of_thread() noexcept {
  static thread_local constinit std::size_t turn = 0;
  return turn++;
}

}  // namespace rearm::detail
