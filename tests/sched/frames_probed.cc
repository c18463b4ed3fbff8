#include "sched/frames.h"
#include "sched/frames_of_sizes.h"

namespace rearm::test {

void use_probed_frame(std::size_t kib) { use_frame(kib); }

bool frames_are_probed() { return REARM_HAS_STACK_CLASH_PROTECTION != 0; }

}  // namespace rearm::test
