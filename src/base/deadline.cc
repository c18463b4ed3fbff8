#include "rearm/deadline.h"

#include <cstdint>
#include <ostream>
#include <string>

#include "base/clock.h"

namespace rearm {

Deadline Deadline::now() noexcept { return at_ns(detail::now_ns()); }

std::string Deadline::to_string() const {
  if (is_standing()) return "standing";
  if (is_never()) return "never";
  if (is_immediate()) return "immediate";
  constexpr std::uint64_t kNsPerMs = 1'000'000;
  constexpr std::uint64_t kMsPerSecond = 1'000;
  const std::int64_t now_ns = detail::now_ns();
  const bool is_ahead = ns_ > now_ns;
  // Unsigned: the difference of two such numbers may need all of its bits.
  const auto ns = static_cast<std::uint64_t>(ns_);
  const auto now = static_cast<std::uint64_t>(now_ns);
  const std::uint64_t ms = (is_ahead ? ns - now : now - ns) / kNsPerMs;
  const std::string fraction = std::to_string(ms % kMsPerSecond + kMsPerSecond).substr(1);
  const std::string seconds = std::to_string(ms / kMsPerSecond) + "." + fraction + " s";
  return is_ahead ? "in " + seconds : seconds + " ago";
}

std::ostream& operator<<(std::ostream& out, Deadline deadline) {
  return out << deadline.to_string();
}

}  // namespace rearm
