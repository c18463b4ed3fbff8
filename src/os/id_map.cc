#include "rearm/os/id_map.h"

#include <algorithm>
#include <limits>

#include "os/command_spec.h"

namespace rearm {
namespace {

// user_namespaces(7); the kernel's limit for the text is a page.
constexpr std::size_t kMostRanges = 340;
constexpr std::size_t kTextBytes = 4096;

[[nodiscard]] bool overlap(std::uint64_t a, std::uint64_t b, std::uint64_t a_count,
                           std::uint64_t b_count) {
  return a < b + b_count && b < a + a_count;
}

}  // namespace

std::string to_string(std::span<const IdRange> map) {
  std::string text;
  for (const IdRange& range : map) {
    text += std::to_string(range.inside) + " " + std::to_string(range.outside) + " " +
            std::to_string(range.count) + "\n";
  }
  return text;
}

StepResult<void> check_id_map(std::span<const IdRange> map, std::string_view name) {
  const auto bad = [&](const std::string& why) {
    return detail::step_failed(std::string(name) + ": " + why, Errc::kInvalidArgument);
  };
  if (map.empty()) return bad("no range");
  if (map.size() > kMostRanges) {
    return bad(std::to_string(map.size()) + " ranges; the kernel takes 340");
  }
  for (std::size_t i = 0; i < map.size(); ++i) {
    const IdRange& a = map[i];
    const std::string range = "range " + std::to_string(i + 1);
    if (a.count == 0) return bad(range + " is empty");
    // 4294967295 means "no change" to every call that sets an ID.
    constexpr std::uint64_t kEnd = std::numeric_limits<std::uint32_t>::max();
    const std::uint64_t count = a.count;
    if (a.inside + count > kEnd || a.outside + count > kEnd) {
      return bad(range + " reaches beyond 4294967294");
    }
    for (std::size_t j = 0; j < i; ++j) {
      const IdRange& b = map[j];
      const bool inside = overlap(a.inside, b.inside, count, b.count);
      if (inside || overlap(a.outside, b.outside, count, b.count)) {
        return bad(range + " overlaps range " + std::to_string(j + 1) +
                   (inside ? " inside" : " outside"));
      }
    }
  }
  if (to_string(map).size() >= kTextBytes) return bad("4096 bytes of text or more");
  return {};
}

}  // namespace rearm
