// SeccompFilter::Builder::build() in a build without libseccomp.
#include "os/command_spec.h"
#include "rearm/os/seccomp_filter.h"

namespace rearm {

StepResult<SeccompFilter> SeccompFilter::Builder::build() const {
  return detail::step_failed("seccomp filter by name: this build has no libseccomp",
                             Errc::kNotSupported);
}

}  // namespace rearm
