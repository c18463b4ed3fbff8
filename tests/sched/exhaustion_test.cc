// When memory, address space or threads run out: a clear error from the call that needed them, and
// everything that exists goes on. Each case limits a child process, not this one.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "rearm/runtime.h"
#include "sched/runtime_fixture.h"
#include "sched/stack.h"

#if !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102
#endif

namespace rearm {
namespace {

// Runs `body` in a child process and expects it to return true there.
template <class Body>
void expect_in_child(Body body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool good = false;
    try {
      good = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "the child died of signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

bool check(bool condition, const char* what) {
  if (!condition) std::fprintf(stderr, "child: not true: %s\n", what);
  return condition;
}

bool limit(__rlimit_resource_t resource, rlim_t value) {
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  return check(::setrlimit(resource, &limit) == 0, "setrlimit");
}

bool leaves_nothing(const Runtime& runtime) {
  const Runtime::Stats stats = runtime.stats();
  return check(stats.fibers_alive == 0, "no fiber is left") &&
         check(stats.stacks_taken == 0, "no stack is left");
}

// Spawns parked fibers until there is no stack, then lets them go. Returns how many there were.
int spawn_until_exhausted(std::error_code& error) {
  std::atomic<bool> go{false};
  std::vector<JoinHandle<void>> handles;
  handles.reserve(100'000);
  while (handles.size() < 100'000) {
    auto handle = try_spawn([&] {
      while (!go.load()) (void)this_fiber::sleep_for(std::chrono::milliseconds(10));
    });
    if (!handle) {
      error = handle.error();
      break;
    }
    handles.push_back(std::move(*handle));
  }
  go.store(true);
  for (auto& handle : handles) handle.join();
  return static_cast<int>(handles.size());
}

class ExhaustionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (test::kSanitized) GTEST_SKIP() << "a sanitizer needs what is taken away here";
  }
};

TEST_F(ExhaustionTest, WithoutAddressSpaceSpawnSaysSoAndTheOthersGoOn) {
  expect_in_child([] {
    Runtime runtime({.workers = 2});
    if (!limit(RLIMIT_AS, rlim_t{1} << 30)) return false;
    bool good = true;
    runtime.run([&] {
      std::error_code error;
      const int before = spawn_until_exhausted(error);
      good = check(before > 100, "many were spawned before") &&
             check(error == Errc::kStacksExhausted, "kStacksExhausted");
      // Now there are stacks again.
      good = good && check(spawn([] { return 7; }).join() == 7, "spawning works again");
    });
    return good && leaves_nothing(runtime);
  });
}

TEST_F(ExhaustionTest, SpawnThrowsWhatTrySpawnReturns) {
  expect_in_child([] {
    Runtime runtime({.workers = 1, .stack_bytes = std::size_t{1} << 40});
    if (!limit(RLIMIT_AS, rlim_t{1} << 30)) return false;
    try {
      runtime.run([] {});
    } catch (const std::system_error& error) {
      return check(error.code() == Errc::kStacksExhausted, "kStacksExhausted") &&
             leaves_nothing(runtime);
    }
    return check(false, "run() threw");
  });
}

TEST_F(ExhaustionTest, WithoutThreadsRunThrowsAndCanBeRepeated) {
  expect_in_child([] {
    Runtime runtime({.workers = 8});
    // The limit does not hold for root.
    if (::geteuid() == 0 && !check(::setuid(54321) == 0, "setuid")) return false;
    rlimit before{};
    ::getrlimit(RLIMIT_NPROC, &before);
    rlimit none = before;
    none.rlim_cur = 1;
    ::setrlimit(RLIMIT_NPROC, &none);
    bool ran = false;
    bool threw = false;
    try {
      runtime.run([&] { ran = true; });
    } catch (const std::system_error& error) {
      threw = check(error.code() == std::errc::resource_unavailable_try_again, error.what());
    }
    if (!check(threw, "run() threw") || !check(!ran, "nothing has run")) return false;
    ::setrlimit(RLIMIT_NPROC, &before);
    return check(runtime.run([] { return 5; }) == 5, "run() works again") &&
           leaves_nothing(runtime);
  });
}

TEST_F(ExhaustionTest, WithoutDescriptorsARuntimeIsNotMade) {
  expect_in_child([] {
    if (!limit(RLIMIT_NOFILE, 3)) return false;
    try {
      const Runtime runtime({.workers = 1});
    } catch (const std::system_error& error) {
      return check(error.code() == std::errc::too_many_files_open, error.what());
    }
    return check(false, "the constructor threw");
  });
}

// Makes madvise(MADV_GUARD_INSTALL) fail as on a kernel that does not know it.
bool refuse_guard_install() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_GUARD_INSTALL, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = std::size(filter), .filter = filter};
  return check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs") &&
         check(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

// Whether the kernel refuses to read there on our behalf.
bool is_guarded(const std::byte* address, int pipe_end) {
  return ::write(pipe_end, address, 1) == -1 && errno == EFAULT;
}

TEST_F(ExhaustionTest, WithoutGuardInstallStacksAreGuardedByProtection) {
  expect_in_child([] {
    if (!refuse_guard_install()) return false;
    int pipe_ends[2];
    if (!check(::pipe(pipe_ends) == 0, "pipe")) return false;
    detail::StackPool pool(64 * 1024);
    bool good = true;
    std::vector<detail::Stack*> stacks;
    for (int i = 0; i < 100; ++i) {
      stacks.push_back(pool.take());
      good = good && check(is_guarded(stacks.back()->base - 1, pipe_ends[1]), "guarded") &&
             check(!is_guarded(stacks.back()->base, pipe_ends[1]), "usable");
    }
    for (detail::Stack* const stack : stacks) {
      stack->next_free = nullptr;
      pool.give_back(stack, 1);
    }
    return good;
  });
}

// With a mapping for each guard, vm.max_map_count ends it before memory does.
TEST_F(ExhaustionTest, WithoutMappingsSpawnSaysSo) {
  expect_in_child([] {
    if (!refuse_guard_install()) return false;
    Runtime runtime({.workers = 1, .stack_bytes = 16 * 1024});
    bool good = true;
    runtime.run([&] {
      std::error_code error;
      const int before = spawn_until_exhausted(error);
      // Systems that allow more mappings than the usual 65,530 never get there.
      good = check(before == 100'000 || error == Errc::kStacksExhausted, "kStacksExhausted") &&
             check(spawn([] { return 7; }).join() == 7, "spawning works again");
    });
    return good && leaves_nothing(runtime);
  });
}

}  // namespace
}  // namespace rearm
