// Schedule: the choices of one run, and their text.
//
// Only what differs from the default, the first option, is written down:
//
//   12:1/3.4:2/2      twelve choices by default, then option 1 of 3; four by default, then 2 of 2
//
// Options are counted from 0. Steps with one option are no choices and do not count. How many there
// were is written down to notice the schedule of another program. Without any deviation: "fifo".
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rearm::detail {

struct Chosen {
  std::uint32_t option = 0;
  std::uint32_t options = 0;  // Of a default that was parsed: 0, unknown.
};

// The choices of a run, in order. Beyond the end, all are defaults.
using Schedule = std::vector<Chosen>;

// Calls `write(std::string_view)` with one part of the text after another. Async-signal-safe if
// `write` is.
template <class Write>
void write_schedule(const Schedule& schedule, Write&& write) {
  const auto number = [&write](std::uint32_t value) {
    char digits[16];
    const char* const end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
    write(std::string_view(digits, static_cast<std::size_t>(end - digits)));
  };
  std::uint32_t defaults = 0;
  bool any = false;
  for (const Chosen& chosen : schedule) {
    if (chosen.option == 0) {
      ++defaults;
      continue;
    }
    if (any) write(".");
    any = true;
    number(defaults);
    write(":");
    number(chosen.option);
    write("/");
    number(chosen.options);
    defaults = 0;
  }
  if (!any) write("fifo");
}

[[nodiscard]] std::string to_string(const Schedule& schedule);

// Nothing if the text is not that of a schedule.
[[nodiscard]] std::optional<Schedule> parse_schedule(std::string_view text);

}  // namespace rearm::detail
