// Words: scenarios of what the scheduler and the descriptor are made of, without a descriptor.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "explore/machine.h"

namespace rearm::explore {

[[nodiscard]] std::vector<std::string> word_scenarios();
// Whether a scenario is too large for every execution of it.
[[nodiscard]] bool is_crowd(std::string_view name);
// nullptr if there is no such scenario.
[[nodiscard]] std::unique_ptr<Program> make_word_scenario(std::string_view name);

}  // namespace rearm::explore
