// Scenarios: the list of everything that the explorer explores, and how one is made ready to run.
//
// Groups
//   pairs    every two of the twelve actors (descriptor_world.h), each twice, too; with a waiter in
//            each direction that no actor takes, and alone
//   triples  every three of the twelve, each twice or three times, too
//   quads    reading, writing, a report, and each of the twelve
//   words    the words of waits, lives, run queue, idle workers, poll turn and timers (words.h)
//   workers  two real workers that share fibers: within a bound, or PCT
//   crowds   five and six actors at once: for PCT
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "explore/descriptor_world.h"
#include "explore/machine.h"

namespace rearm::explore {

struct Entry {
  std::string group;
  std::string name;
  std::string backend;  // Empty where there is no kernel.
};

// In this order; those of one backend are together.
[[nodiscard]] std::vector<Entry> all_scenarios();

// Holds the world of the scenario that is being explored.
class Stage {
 public:
  // nullptr if there is no such scenario; it need not be among all_scenarios().
  [[nodiscard]] Program* set(std::string_view name, std::string_view backend);

 private:
  std::unique_ptr<DescriptorWorld> world_;
  std::string backend_;
  std::unique_ptr<Program> program_;
};

}  // namespace rearm::explore
