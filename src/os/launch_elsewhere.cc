// What launch() is on systems other than Linux, and what only Linux has.
#include "os/launch.h"
#include "rearm/os/user_namespace.h"

namespace rearm {

StepResult<Child> detail::launch(const CommandSpec& spec, Runtime& runtime) {
  return launch_portably(spec, runtime);
}

StepResult<UserNamespace> UserNamespace::create(std::span<const IdRange>,
                                                std::span<const IdRange>) {
  return detail::step_failed("user namespace", Errc::kNotSupported);
}

}  // namespace rearm
