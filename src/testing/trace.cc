#include "testing/trace.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <string_view>

namespace rearm::detail {
namespace {

using State = Controlled::State;

constexpr std::size_t kWidest = 130;
constexpr std::size_t kFirstSteps = 100;
constexpr std::size_t kLastSteps = 400;

std::string describe(const Act* act, std::int64_t object) {
  if (act == nullptr) return "?";
  std::string text = act->name;
  if (object != 0) text.append(" ").append(act->object_mark).append(std::to_string(object));
  return text;
}

std::string describe_wake(const Step& step) {
  std::string text = describe(step.act, step.object) + ": ";
  switch (step.reason) {
    case WakeReason::kReady: return text + (step.act == nullptr ? "ready" : step.act->ready);
    case WakeReason::kTimedOut:
      return text + (step.act == nullptr ? "timed out" : step.act->timed_out);
    case WakeReason::kCancelled: return text + "cancelled";
    case WakeReason::kClosed: return text + "closed";
  }
  return text;
}

std::string describe(const Step& step) {
  if (step.number == 0) return "time passes";
  std::string text;
  switch (step.from) {
    case State::kStarts: text = "starts"; break;
    case State::kBefore: text = describe(step.act, step.object); break;
    case State::kAfter: text = "after " + describe(step.act, step.object); break;
    case State::kWoken: text = describe_wake(step); break;
    case State::kYielded:
    case State::kRunning:
    case State::kParked:
    case State::kEnded: text = "goes on"; break;
  }
  if (step.then == State::kYielded) return text + "; yields";
  if (step.then == State::kEnded) return text + "; ends";
  if (step.then != State::kParked) return text;
  const bool in_the_same = step.from == State::kBefore && step.then_act == step.act;
  return text + "; waits" + (in_the_same ? "" : ": " + describe(step.then_act, step.then_object));
}

// Nanoseconds with a unit that leaves few digits: "1.5ms", "2h".
std::string duration(std::int64_t ns) {
  struct Unit {
    double ns;
    const char* name;
  };
  constexpr std::array kUnits{Unit{3600e9, "h"}, Unit{60e9, "min"}, Unit{1e9, "s"},
                              Unit{1e6, "ms"},   Unit{1e3, "us"},   Unit{1, "ns"}};
  if (ns == 0) return "0";
  const auto value = static_cast<double>(ns);
  const auto* const unit =
      std::ranges::find_if(kUnits, [&](const Unit& u) { return value >= u.ns; });
  char text[48];
  std::snprintf(text, sizeof(text), "%.6g%s", value / unit->ns, unit->name);
  return text;
}

std::string title(const Controlled& fiber) {
  return "#" + std::to_string(fiber.number) + (fiber.name.empty() ? "" : " " + fiber.name);
}

void pad(std::string& line, std::size_t column) {
  if (line.size() < column) line.append(column - line.size(), ' ');
}

// "step  choice  time", in front of every line.
std::string line_head(std::size_t number, const Step& step, std::int64_t start_ns) {
  std::string line = std::to_string(number);
  pad(line, 6);
  if (step.options > 1) {
    line += std::to_string(step.option) + "/" + std::to_string(step.options);
  }
  pad(line, 14);
  line += duration(step.now_ns - start_ns);
  pad(line, 23);
  line += ' ';
  return line;
}

// Where each column begins, the end of the last one at the back.
std::vector<std::size_t> columns_of(const Trace& trace, const std::deque<Controlled>& fibers) {
  std::vector<std::size_t> widths(fibers.size());
  for (const Controlled& fiber : fibers) widths[fiber.number - 1] = title(fiber).size();
  for (const Step& step : trace) {
    if (step.number == 0) continue;
    std::size_t& width = widths[step.number - 1];
    width = std::max(width, describe(step).size());
  }
  std::vector<std::size_t> columns{24};
  for (const std::size_t width : widths) columns.push_back(columns.back() + width + 2);
  return columns;
}

}  // namespace

std::string describe_waiting(const std::deque<Controlled>& fibers) {
  std::string text;
  for (const Controlled& fiber : fibers) {
    if (fiber.state == State::kEnded) continue;
    text += "\n  " + title(fiber) + ", spawned at " + fiber.site.file_name() + ":" +
            std::to_string(fiber.site.line()) + ", waits: " + describe(fiber.act, fiber.object);
  }
  return text;
}

std::string to_table(const Trace& trace, const std::deque<Controlled>& fibers,
                     std::int64_t start_ns) {
  const std::vector<std::size_t> columns = columns_of(trace, fibers);
  const bool wide = columns.back() > kWidest;
  std::string line = "step  choice  time";
  for (const Controlled& fiber : fibers) {
    if (wide) break;
    pad(line, columns[fiber.number - 1]);
    line += title(fiber);
  }
  std::string table = line + "\n";
  for (std::size_t i = 0; i < trace.size(); ++i) {
    if (i == kFirstSteps && trace.size() > kFirstSteps + kLastSteps) {
      i = trace.size() - kLastSteps;
      table += "      ... " + std::to_string(i - kFirstSteps) + " steps left out ...\n";
    }
    const Step& step = trace[i];
    line = line_head(i + 1, step, start_ns);
    if (wide) {
      if (step.number != 0) line += title(fibers[step.number - 1]) + ": ";
    } else if (step.number != 0) {
      pad(line, columns[step.number - 1]);
    }
    table += line + describe(step) + "\n";
  }
  return table;
}

}  // namespace rearm::detail
