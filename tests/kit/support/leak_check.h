// LeakCheck: a fixture whose tear-down proves that nothing is left behind.
//
// It counts the process's descriptors, threads and open slots of the descriptor table before the
// test and compares after it. A derived fixture that overrides SetUp() or TearDown() calls ours
// first, or last. A descriptor that vanished is as wrong as one that stayed: somebody closed a
// number that was not his.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "poller/descriptor_table.h"

namespace rearm::test {

// The open numbers of this process and what each refers to, where the system tells.
[[nodiscard]] inline std::map<int, std::string> open_fds() {
  std::map<int, std::string> fds;
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) {
    constexpr int kHighest = 4096;
    for (int fd = 0; fd < kHighest; ++fd) {
      if (::fcntl(fd, F_GETFD) >= 0) fds[fd] = "";
    }
    return fds;
  }
  while (const dirent* const entry = ::readdir(directory)) {
    char* end = nullptr;
    const int fd = static_cast<int>(std::strtol(entry->d_name, &end, 10));
    if (end == entry->d_name || fd == dirfd(directory)) continue;  // A macro on NetBSD.
    char target[256];
    const std::string path = "/proc/self/fd/" + std::string(entry->d_name);
    const ssize_t size = ::readlink(path.c_str(), target, sizeof(target));
    fds[fd] = size > 0 ? std::string(target, static_cast<std::size_t>(size)) : "";
  }
  ::closedir(directory);
  return fds;
}

// The threads of this process; 0 where the system does not tell.
[[nodiscard]] inline std::size_t thread_count() {
  std::size_t count = 0;
  DIR* const directory = ::opendir("/proc/self/task");
  if (directory == nullptr) return 0;
  while (const dirent* const entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count;
}

// The descriptors of every poller of this process that are open.
[[nodiscard]] inline std::size_t open_descriptors() {
  std::size_t count = 0;
  detail::DescriptorTable::instance().for_each([&](const detail::Descriptor& descriptor) {
    count += descriptor.lifetime.open_generation() != 0;
  });
  return count;
}

class LeakCheck : public ::testing::Test {
 protected:
  void SetUp() override {
    // A sanitizer's own thread is started by the first thread of ours.
    std::thread([] {}).join();
    settle_threads(1);
    fds_ = open_fds();
    threads_ = thread_count();
    descriptors_ = open_descriptors();
  }

  void TearDown() override {
    const auto fds = open_fds();
    for (const auto& [fd, target] : fds) {
      EXPECT_TRUE(fds_.contains(fd)) << "fd " << fd << " is left open: " << target;
    }
    for (const auto& [fd, target] : fds_) {
      EXPECT_TRUE(fds.contains(fd)) << "fd " << fd << " was closed: " << target;
    }
    EXPECT_EQ(open_descriptors(), descriptors_) << "a descriptor is left in its poller";
    EXPECT_LE(settle_threads(threads_), threads_) << "a thread is left";
  }

 private:
  // The system counts a thread that was joined for a moment longer. Returns the last count.
  static std::size_t settle_threads(std::size_t expected) {
    constexpr int kTries = 2000;
    // Sanitizers keep a thread of their own, so an expectation of one may never come true.
    const int tries = expected == 1 ? 20 : kTries;
    std::size_t count = thread_count();
    for (int i = 0; i < tries && count > expected; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      count = thread_count();
    }
    return count;
  }

  std::map<int, std::string> fds_;
  std::size_t threads_ = 0;
  std::size_t descriptors_ = 0;
};

}  // namespace rearm::test
