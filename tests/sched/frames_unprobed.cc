#include "sched/frames.h"
#include "sched/frames_of_sizes.h"

namespace rearm::test {

void use_unprobed_frame(std::size_t kib) { use_frame(kib); }

}  // namespace rearm::test
