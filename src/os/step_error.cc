#include "rearm/os/step_error.h"

#include <ostream>

namespace rearm {

std::string to_string(const StepError& error) { return error.step + ": " + to_string(error.code); }

std::ostream& operator<<(std::ostream& out, const StepError& error) {
  return out << to_string(error);
}

}  // namespace rearm
