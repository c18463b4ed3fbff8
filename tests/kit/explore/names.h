// Names: what the library's objects are called in a report, and their values in words.
#pragma once

#include <cstdint>
#include <string>

#include "explore/step.h"
#include "poller/descriptor.h"
#include "rearm/runtime.h"

namespace rearm::explore {

[[nodiscard]] std::string name_in_library(Runtime& runtime, const void* object);
[[nodiscard]] std::string value_in_library(const void* object, std::uint64_t value);

// The step that destroys a runtime. It waits until nobody from outside is counted, as ~Scheduler()
// does, and takes away the words that such a one looks at after it has injected a fiber.
[[nodiscard]] Step destruction_of(Runtime& runtime);

// The lifetime, both words, and the lock if it is held.
[[nodiscard]] std::string state_of(detail::Descriptor& descriptor);
[[nodiscard]] std::uint64_t lifetime_word(const detail::Descriptor& descriptor);

}  // namespace rearm::explore
