// The CPU quota of control groups, as it stands in files below a folder of the test's own.
#include "sched/usable_processors.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "rearm/runtime.h"

namespace rearm::detail {
namespace {

namespace fs = std::filesystem;

class UsableProcessorsTest : public ::testing::Test {
 protected:
  UsableProcessorsTest() {
    std::string pattern = (fs::temp_directory_path() / "rearm-quota-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder");
    root_ = pattern;
  }
  ~UsableProcessorsTest() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_ + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  // A process in group `path` of version 2, whose group `mount_root` is mounted in /sys/fs/cgroup.
  void be_in(const std::string& path, const std::string& mount_root = "/") {
    write("/proc/self/cgroup", "0::" + path + "\n");
    write("/proc/self/mountinfo",
          "22 27 0:20 / /proc rw,nosuid shared:12 - proc proc rw\n"
          "30 23 0:26 " +
              mount_root + " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  [[nodiscard]] std::size_t processors() const { return processors_by_quota(root_); }

  std::string root_;
};

TEST_F(UsableProcessorsTest, WhereThereAreNoGroupsNothingLimits) {
  EXPECT_EQ(processors(), kNoQuota);
}

TEST_F(UsableProcessorsTest, AQuotaOfVersion2IsSoManyProcessors) {
  be_in("/");
  write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(processors(), 2U);
}

TEST_F(UsableProcessorsTest, APartOfAProcessorIsAWorker) {
  be_in("/");
  for (const auto& [quota, count] : {std::pair{"150000 100000", 2U},
                                     {"10000 100000", 1U},
                                     {"1000 100000", 1U},
                                     {"300000 200000", 2U},
                                     {"6400000 100000", 64U}}) {
    write("/sys/fs/cgroup/cpu.max", quota);
    EXPECT_EQ(processors(), count) << quota;
  }
}

TEST_F(UsableProcessorsTest, MaxIsNoLimit) {
  be_in("/a");
  write("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(processors(), kNoQuota);
}

TEST_F(UsableProcessorsTest, WhatMakesNoSenseIsNoLimit) {
  be_in("/");
  for (const char* const text :
       {"", "100000", "0 100000", "100000 0", "-1 100000", "x y", "99999999999999999999 100000"}) {
    write("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(processors(), kNoQuota) << text;
  }
}

// The least of the group and all above it holds; the root of version 2 has no file.
TEST_F(UsableProcessorsTest, AQuotaOfAGroupAboveHolds) {
  be_in("/user.slice/session.scope");
  write("/sys/fs/cgroup/user.slice/session.scope/cpu.max", "800000 100000");
  EXPECT_EQ(processors(), 8U);
  write("/sys/fs/cgroup/user.slice/cpu.max", "300000 100000");
  EXPECT_EQ(processors(), 3U);
  write("/sys/fs/cgroup/user.slice/session.scope/cpu.max", "max 100000");
  EXPECT_EQ(processors(), 3U);
  write("/sys/fs/cgroup/cpu.max", "100000 100000");
  EXPECT_EQ(processors(), 1U);
}

// As in a container whose runtime gives it no namespace of its own for groups.
TEST_F(UsableProcessorsTest, AMountThatShowsAGroupAsItsRoot) {
  be_in("/docker/abc/inner", "/docker/abc");
  write("/sys/fs/cgroup/cpu.max", "400000 100000");
  EXPECT_EQ(processors(), 4U);
  write("/sys/fs/cgroup/inner/cpu.max", "200000 100000");
  EXPECT_EQ(processors(), 2U);
  // A name that merely begins alike, and a group outside of what can be seen.
  be_in("/docker/abcdef/inner", "/docker/abc");
  EXPECT_EQ(processors(), 4U);
  be_in("/../other/inner");
  EXPECT_EQ(processors(), 4U);
}

TEST_F(UsableProcessorsTest, AQuotaOfVersion1) {
  write("/proc/self/cgroup",
        "9:name=systemd:/x\n4:cpuset:/x\n2:cpuacct,cpu:/docker/abc\n1:memory:/m\n");
  write("/proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
  const std::string folder = "/sys/fs/cgroup/cpu,cpuacct/docker/abc/";
  write(folder + "cpu.cfs_quota_us", "-1\n");
  write(folder + "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(processors(), kNoQuota);
  write(folder + "cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(processors(), 3U);
  write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "50000\n");
  EXPECT_EQ(processors(), 3U) << "a quota without a period";
  write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(processors(), 1U);
}

// Both are mounted where systemd is told so; the controller is in one of the two.
TEST_F(UsableProcessorsTest, BothVersionsAtOnce) {
  write("/proc/self/cgroup", "1:cpu:/\n0::/\n");
  write("/proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(processors(), 2U);
}

TEST_F(UsableProcessorsTest, ABlankInAPathIsEscaped) {
  write("/proc/self/cgroup", "0::/\n");
  write("/proc/self/mountinfo", "30 23 0:26 / /a\\040b rw - cgroup2 cgroup2 rw\n");
  write("/a b/cpu.max", "200000 100000");
  EXPECT_EQ(processors(), 2U);
}

TEST_F(UsableProcessorsTest, ARuntimeThatIsNotToldHasSoManyWorkers) {
  EXPECT_GE(usable_processors(), 1U);
  EXPECT_LE(usable_processors(), processors_by_quota(""));
  EXPECT_EQ(Runtime().workers(), usable_processors());
}

}  // namespace
}  // namespace rearm::detail
