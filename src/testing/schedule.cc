#include "testing/schedule.h"

#include <cstddef>
#include <system_error>

namespace rearm::detail {
namespace {

// So many choices are more than any run has; a text that names more is not a schedule.
constexpr std::size_t kMostChoices = 10'000'000;

// Takes a number from the front of the text.
std::optional<std::uint32_t> take_number(std::string_view& text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take(std::string_view& text, char expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string to_string(const Schedule& schedule) {
  std::string text;
  write_schedule(schedule, [&text](std::string_view part) { text += part; });
  return text;
}

std::optional<Schedule> parse_schedule(std::string_view text) {
  Schedule schedule;
  if (text == "fifo") return schedule;
  do {
    const auto defaults = take_number(text);
    if (!defaults || schedule.size() + *defaults > kMostChoices || !take(text, ':')) return {};
    const auto option = take_number(text);
    if (!option || !take(text, '/')) return {};
    const auto options = take_number(text);
    if (!options || *option == 0 || *option >= *options) return {};
    schedule.resize(schedule.size() + *defaults);
    schedule.push_back({.option = *option, .options = *options});
  } while (take(text, '.'));
  if (!text.empty()) return {};
  return schedule;
}

}  // namespace rearm::detail
