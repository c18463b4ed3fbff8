// UserNamespace::create() with its moments, in which a test may do harm to the child. Linux.
#pragma once

#include <functional>
#include <span>

#include "os/owned_number.h"
#include "rearm/os/id_map.h"

namespace rearm::detail {

struct UserNamespaceHooks {
  std::function<void(int pid)> cloned;
  std::function<void(int pid)> opened;
  std::function<void(int pid)> written;
};

[[nodiscard]] StepResult<OwnedNumber> create_user_namespace(std::span<const IdRange> uid_map,
                                                            std::span<const IdRange> gid_map,
                                                            const UserNamespaceHooks& hooks);

}  // namespace rearm::detail
