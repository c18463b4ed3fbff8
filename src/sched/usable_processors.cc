#include "sched/usable_processors.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace rearm::detail {
namespace {

enum class Version : bool { kOne, kTwo };

// The process's group in a hierarchy that limits processors.
struct Group {
  Version version;
  std::string path;
};

// Where a hierarchy is mounted, and which of its groups is seen there.
struct CgroupMount {
  std::string root;
  std::string point;
};

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// Whether `word` is one of the words of a list with commas.
bool lists(std::string_view list, std::string_view word) {
  for (;;) {
    const std::size_t end = list.find(',');
    if (list.substr(0, end) == word) return true;
    if (end == std::string_view::npos) return false;
    list.remove_prefix(end + 1);
  }
}

// A line of /proc/self/cgroup: "NUMBER:CONTROLLERS:PATH"; version 2 has no controllers.
std::optional<Group> parse_group(const std::string& line) {
  const std::size_t first = line.find(':');
  if (first == std::string::npos) return std::nullopt;
  const std::size_t second = line.find(':', first + 1);
  if (second == std::string::npos) return std::nullopt;
  const std::string_view controllers(line.data() + first + 1, second - first - 1);
  const std::string path = line.substr(second + 1);
  if (controllers.empty()) return Group{Version::kTwo, path};
  if (lists(controllers, "cpu")) return Group{Version::kOne, path};
  return std::nullopt;
}

// A blank in a path of mountinfo is "\040", and so on.
std::string unescaped(const std::string& text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// A line of /proc/self/mountinfo: "ID PARENT DEVICE ROOT POINT OPTIONS FIELDS... - TYPE SOURCE
// OPTIONS", if it is a mount of such a hierarchy.
std::optional<CgroupMount> parse_mount(const std::string& line, Version version) {
  std::istringstream words(line);
  std::string skipped;
  CgroupMount mount;
  words >> skipped >> skipped >> skipped >> mount.root >> mount.point;
  while (words >> skipped && skipped != "-") {
  }
  std::string type;
  std::string options;
  if (!(words >> type >> skipped >> options)) return std::nullopt;
  const bool fits =
      version == Version::kTwo ? type == "cgroup2" : type == "cgroup" && lists(options, "cpu");
  if (!fits) return std::nullopt;
  return CgroupMount{unescaped(mount.root), unescaped(mount.point)};
}

// The group's folder below the mount's root: "" or "/a/b". A group that is not below it, as where
// another namespace's groups are mounted, is taken for the root itself: of those that can be seen,
// only that one is certain to be above it.
std::string below(const std::string& path, const std::string& root) {
  std::string rest = path;
  if (root != "/") {
    const bool is_below =
        path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
    rest = is_below ? path.substr(root.size()) : "";
  }
  if (rest == "/" || rest.find("/..") != std::string::npos) rest.clear();
  return rest;
}

std::size_t processors_of(std::int64_t quota, std::int64_t period) {
  if (quota <= 0 || period <= 0) return kNoQuota;
  return static_cast<std::size_t>(quota / period + (quota % period == 0 ? 0 : 1));
}

template <class Number>
std::optional<Number> number_in(const std::string& path) {
  std::ifstream file(path);
  Number number{};
  if (!(file >> number)) return std::nullopt;
  return number;
}

// What the group itself says.
std::size_t quota_of(const std::string& folder, Version version) {
  if (version == Version::kTwo) {
    std::ifstream file(folder + "/cpu.max");
    std::int64_t quota = 0;
    std::int64_t period = 0;
    if (!(file >> quota >> period)) return kNoQuota;  // "max" is no number.
    return processors_of(quota, period);
  }
  const auto quota = number_in<std::int64_t>(folder + "/cpu.cfs_quota_us");
  const auto period = number_in<std::int64_t>(folder + "/cpu.cfs_period_us");
  return quota && period ? processors_of(*quota, *period) : kNoQuota;
}

// The least of the group and all above it.
std::size_t quota_up_from(const std::string& mount_point, std::string path, Version version) {
  std::size_t least = kNoQuota;
  for (;;) {
    least = std::min(least, quota_of(mount_point + path, version));
    if (path.empty()) return least;
    path.resize(path.rfind('/'));
  }
}

}  // namespace

std::size_t processors_by_quota(const std::string& root) {
  std::size_t least = kNoQuota;
  const std::vector<std::string> mounts = lines_of(root + "/proc/self/mountinfo");
  for (const std::string& line : lines_of(root + "/proc/self/cgroup")) {
    const auto group = parse_group(line);
    if (!group) continue;
    for (const std::string& text : mounts) {
      const auto mount = parse_mount(text, group->version);
      if (!mount) continue;
      least = std::min(least, quota_up_from(root + mount->point, below(group->path, mount->root),
                                            group->version));
    }
  }
  return least;
}

std::size_t usable_processors() {
  std::size_t count = std::max(1U, std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    count = static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
  }
  count = std::min(count, processors_by_quota(""));
#endif
  return count;
}

}  // namespace rearm::detail
