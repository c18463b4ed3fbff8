#include "base/this_thread.h"

namespace rearm::detail {

const void* this_thread() noexcept {
  static thread_local constinit char thread = 0;
  return &thread;
}

}  // namespace rearm::detail
