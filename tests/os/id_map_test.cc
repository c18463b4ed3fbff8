// Maps of IDs, and user namespaces that only a descriptor keeps.
#include "rearm/os/id_map.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <fstream>
#include <limits>
#include <set>
#include <thread>

#include "os/os_fixture.h"
#include "os/sandbox.h"
#include "os/user_namespace_steps.h"
#include "rearm/os/user_namespace.h"

namespace rearm::test {
namespace {

TEST(IdMapTest, WhatTheKernelWouldRefuseIsToldByRange) {
  const auto step = [](const IdMap& map) {
    const auto result = check_id_map(map, "uid map");
    EXPECT_TRUE(result || result.error().code == Errc::kInvalidArgument);
    return step_of(result);
  };
  EXPECT_EQ(step({}), "uid map: no range");
  EXPECT_EQ(step({{0, 1000, 1}}), "no error");
  EXPECT_EQ(step({{0, 1000, 1}, {1, 100000, 65536}}), "no error");
  EXPECT_EQ(step({{0, 1000, 0}}), "uid map: range 1 is empty");
  EXPECT_EQ(step({{0, 0, 10}, {9, 100, 1}}), "uid map: range 2 overlaps range 1 inside");
  EXPECT_EQ(step({{0, 0, 10}, {10, 9, 1}}), "uid map: range 2 overlaps range 1 outside");
  EXPECT_EQ(step({{0, 0, 10}, {10, 10, 1}}), "no error");
  constexpr std::uint32_t kLast = std::numeric_limits<std::uint32_t>::max() - 1;
  EXPECT_EQ(step({{kLast, 0, 1}}), "no error");
  EXPECT_EQ(step({{kLast, 0, 2}}), "uid map: range 1 reaches beyond 4294967294");
  EXPECT_EQ(step({{0, 1, std::numeric_limits<std::uint32_t>::max()}}),
            "uid map: range 1 reaches beyond 4294967294");
  IdMap many;
  for (std::uint32_t i = 0; i < 340; ++i) many.push_back({i, i, 1});
  EXPECT_EQ(step(many), "no error");
  many.push_back({340, 340, 1});
  EXPECT_EQ(step(many), "uid map: 341 ranges; the kernel takes 340");
  IdMap wide;
  for (std::uint32_t i = 0; i < 300; ++i) wide.push_back({i + 1'000'000, i + 1'000'000, 1});
  EXPECT_EQ(step(wide), "uid map: 4096 bytes of text or more");
  EXPECT_EQ(to_string(IdMap{{0, 1000, 1}, {1, 5, 2}}), "0 1000 1\n1 5 2\n");
}

class UserNamespaceTest : public ChildTest {
 protected:
  void SetUp() override {
    if (const std::string reason = no_namespaces(); !reason.empty()) GTEST_SKIP() << reason;
    ChildTest::SetUp();
  }
  void TearDown() override {
    if (!IsSkipped()) ChildTest::TearDown();
  }
};

// The maps of the namespace, as a process in it sees them.
[[nodiscard]] std::string maps_of(int fd) {
  return said(shell("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '")
                  .enter_namespace(Namespace::kUser, fd));
}

TEST_F(UserNamespaceTest, ItHasItsMapsAndNoProcess) {
  run([] {
    const auto made = expect_value(UserNamespace::create(Sandbox::users(), Sandbox::groups()));
    const std::string uid = std::to_string(::getuid());
    const std::string gid = std::to_string(::getgid());
    EXPECT_EQ(maps_of(made.fd()), " 0 " + uid + " 1\n 0 " + gid + " 1\n");
    EXPECT_EQ(::fcntl(made.fd(), F_GETFD), FD_CLOEXEC);
    if (::getuid() == 0) {
      const auto wide = expect_value(
          UserNamespace::create(IdMap{{0, 0, 1}, {1, 100000, 65536}}, IdMap{{0, 5, 10}}));
      EXPECT_EQ(maps_of(wide.fd()), " 0 0 1\n 1 100000 65536\n 0 5 10\n");
    }
  });
}

TEST_F(UserNamespaceTest, ErrorsNameTheirStepAndLeaveNothing) {
  const auto bad = UserNamespace::create(IdMap{{0, 0, 0}}, Sandbox::groups());
  EXPECT_EQ(step_of(bad), "uid map: range 1 is empty");
  const auto bad_groups = UserNamespace::create(Sandbox::users(), IdMap{});
  EXPECT_EQ(step_of(bad_groups), "gid map: no range");

  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // Each descriptor that it needs is the one that there is no number for.
  std::vector<int> taken;
  for (int fd = 0; fd < 64; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) taken.push_back(require(::dup2(1, fd), "dup2"));
  }
  rlimit tight = before;
  tight.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  bool succeeded = false;
  std::set<std::string> steps;
  while (!succeeded && !taken.empty()) {
    const auto made = UserNamespace::create(Sandbox::users(), Sandbox::groups());
    succeeded = made.has_value();
    if (!made) {
      EXPECT_EQ(code_of(made), errno_code(EMFILE));
      steps.insert(step_of(made).substr(0, 10));
    }
    ::close(taken.back());
    taken.pop_back();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  for (const int fd : taken) ::close(fd);
  EXPECT_TRUE(succeeded);
  EXPECT_EQ(steps, (std::set<std::string>{"clone", "open /proc", "open ns/us", "open uid_m"}));
}

void kill_child(int pid) { ::kill(pid, SIGKILL); }

// As a waitpid(-1, __WALL) elsewhere in the program would, with the child as its first.
void kill_and_reap(int pid) {
  kill_child(pid);
  EXPECT_EQ(::waitpid(pid, nullptr, 0x40000000 /* __WALL */), pid);
}

TEST_F(UserNamespaceTest, AChildThatIsKilledIsNoHarmAndOneThatIsReapedIsAnError) {
  const IdMap users = Sandbox::users();
  const IdMap groups = Sandbox::groups();
  const auto make = [&](const detail::UserNamespaceHooks& hooks) {
    return detail::create_user_namespace(users, groups, hooks);
  };
  // A zombie keeps its pid and its namespace; the kernel writes no maps for it any more, or does.
  for (const auto& hooks :
       {detail::UserNamespaceHooks{.cloned = kill_child, .opened = {}, .written = {}},
        detail::UserNamespaceHooks{.cloned = {}, .opened = kill_child, .written = {}},
        detail::UserNamespaceHooks{.cloned = {}, .opened = {}, .written = kill_child}}) {
    const auto made = make(hooks);
    EXPECT_TRUE(made || !made.error().step.empty());
  }
  const auto early = make({.cloned = kill_and_reap, .opened = {}, .written = {}});
  EXPECT_TRUE(step_of(early).starts_with("open /proc/")) << step_of(early);
  const auto between = make({.cloned = {}, .opened = kill_and_reap, .written = {}});
  EXPECT_EQ(step_of(between), "open uid_map");
  EXPECT_EQ(code_of(between), errno_code(ESRCH));
  EXPECT_TRUE(make({.cloned = {}, .opened = {}, .written = kill_and_reap}));
}

// The directory was looked up by a number that is another's by now.
TEST_F(UserNamespaceTest, AChildThatIsNotThereAnyMoreIsNotTakenForAnother) {
  const auto reaped_but_found = detail::create_user_namespace(
      Sandbox::users(), Sandbox::groups(),
      {.cloned =
           [](int pid) {
             kill_and_reap(pid);
             // The next child that gets this number, without going round all numbers.
             std::ofstream("/proc/sys/kernel/ns_last_pid") << pid - 1;
             const pid_t other = ::fork();
             if (other == 0) ::_exit(0);
             if (other != pid) GTEST_LOG_(INFO) << "the number was not given out again";
             // It stays a zombie until the test's end, and with it /proc/PID.
           },
       .opened = {},
       .written = {}});
  EXPECT_TRUE(step_of(reaped_but_found) == "is the child alive" ||
              step_of(reaped_but_found).starts_with("open /proc/"))
      << step_of(reaped_but_found);
  EXPECT_EQ(::waitpid(-1, nullptr, 0) > 0, true);
}

TEST_F(UserNamespaceTest, AWaitForAnyChildDoesNotSeeIt) {
  const auto made =
      detail::create_user_namespace(Sandbox::users(), Sandbox::groups(),
                                    {.cloned =
                                         [](int) {
                                           EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
                                           EXPECT_EQ(errno, ECHILD);
                                         },
                                     .opened = {},
                                     .written = kill_child});
  EXPECT_TRUE(made) << step_of(made);
}

TEST_F(UserNamespaceTest, ManyThreadsAndFibersMakeThemAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int k = 0; k < 20; ++k) {
        EXPECT_TRUE(UserNamespace::create(Sandbox::users(), Sandbox::groups()));
      }
    });
  }
  run([] {
    std::vector<JoinHandle<void>> fibers;
    for (int i = 0; i < 20; ++i) {
      fibers.push_back(
          spawn([] { EXPECT_TRUE(UserNamespace::create(Sandbox::users(), Sandbox::groups())); }));
    }
    for (auto& fiber : fibers) fiber.join();
  });
  for (auto& thread : threads) thread.join();
}

TEST_F(UserNamespaceTest, AnIdMappedMountShowsTheShiftedOwners) {
  if (::getuid() != 0) GTEST_SKIP() << "an ID-mapped mount needs root";
  constexpr long kOpenTree = 428;
  constexpr long kMountSetattr = 442;
  constexpr unsigned kClone = 1;              // OPEN_TREE_CLONE
  constexpr std::uint64_t kIdmap = 0x100000;  // MOUNT_ATTR_IDMAP
  run([] {
    SocketDirectory names;
    const std::string path = names.fresh_path();
    ASSERT_EQ(::mkdir(path.c_str(), 0755), 0);
    const std::string file = path + "/file";
    std::ofstream(file) << "text";
    const auto made =
        expect_value(UserNamespace::create(IdMap{{0, 70000, 1000}}, IdMap{{0, 80000, 1000}}));
    const int tree =
        static_cast<int>(::syscall(kOpenTree, AT_FDCWD, path.c_str(), kClone | O_CLOEXEC));
    ASSERT_GE(tree, 0);
    struct {
      std::uint64_t set, clear, propagation, user_namespace;
    } attributes{kIdmap, 0, 0, static_cast<std::uint64_t>(made.fd())};
    const long mapped =
        ::syscall(kMountSetattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes));
    if (mapped != 0) {
      ::close(tree);
      GTEST_SKIP() << "this file system takes no ID-mapped mounts: errno " << errno;
    }
    struct stat status{};
    ASSERT_EQ(::fstatat(tree, "file", &status, 0), 0);
    EXPECT_EQ(status.st_uid, 70000U);
    EXPECT_EQ(status.st_gid, 80000U);
    ::close(tree);
  });
}

}  // namespace
}  // namespace rearm::test
