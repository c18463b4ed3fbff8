// IdMap: how the user or group IDs inside a user namespace are those outside (user_namespaces(7)).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rearm/os/step_error.h"

namespace rearm {

// `count` IDs from `inside` on are those from `outside` on.
struct IdRange {
  std::uint32_t inside = 0;
  std::uint32_t outside = 0;
  std::uint32_t count = 1;
};

using IdMap = std::vector<IdRange>;

// Whether the kernel could take the map, as far as that does not depend on privileges: 1 to 340
// ranges that are not empty, do not reach beyond 4294967294 and overlap on neither side, in a text
// of less than 4096 bytes. `name` begins the step: "uid map: range 2 overlaps range 1 inside".
// Errors: kInvalidArgument.
[[nodiscard]] StepResult<void> check_id_map(std::span<const IdRange> map, std::string_view name);

// As /proc/PID/uid_map takes it: "0 1000 1\n1 100000 65536\n".
[[nodiscard]] std::string to_string(std::span<const IdRange> map);

}  // namespace rearm
