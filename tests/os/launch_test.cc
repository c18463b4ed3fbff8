// How children are made, each way beside the others, and what else goes on in the process.
#include "os/launch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "os/command_spec.h"
#include "os/os_fixture.h"
#include "os/plan.h"

namespace rearm::test {
namespace {

using namespace std::chrono_literals;

// The kernel's refusals that there is a second best for.
struct Way {
  const char* name;
  detail::CloneRefusals refusals;
};

class LaunchTest : public ChildTest, public ::testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    ChildTest::SetUp();
    detail::clone_refusals() = GetParam().refusals;
  }
  void TearDown() override {
    detail::clone_refusals() = {};
    ChildTest::TearDown();
  }
};

TEST_P(LaunchTest, AChildIsStartedWaitedForAndKilled) {
  run([] {
    EXPECT_EQ(said(shell("echo $((6*7))")), "42\n");
    EXPECT_EQ(expect_value(shell("exit 4").run(patience())).code, 4);
    EXPECT_EQ(code_of(Command("/bin/nothing").spawn()), errno_code(ENOENT));
    auto child = expect_value(Command("/bin/sleep", {"100"}).spawn());
    EXPECT_EQ(child.pidfd() < 0, GetParam().refusals.no_pidfd);
    expect_error(child.wait(Deadline::after(10ms)), Errc::kTimedOut);
    expect_ok(child.kill());
    EXPECT_EQ(expect_value(child.wait(patience())).signal, SIGKILL);
    expect_error(child.kill(), errno_code(ESRCH));
    auto detached = expect_value(Command("/bin/sleep", {"0.01"}).spawn());
    expect_ok(detached.detach());
    {
      auto destroyed = expect_value(Command("/bin/sleep", {"100"}).spawn());
    }
  });
}

TEST_P(LaunchTest, TheParentMayActBeforeTheExec) {
  run([] {
    int pid = -1;
    std::string name;
    auto child = expect_value(shell("exit 5")
                                  .before_exec([&](const Newborn& newborn) -> StepResult<void> {
                                    pid = newborn.pid;
                                    // It waits, and this fiber may park meanwhile.
                                    (void)this_fiber::sleep_for(1ms);
                                    std::ifstream("/proc/" + std::to_string(pid) + "/comm") >> name;
                                    return {};
                                  })
                                  .spawn());
    EXPECT_EQ(child.pid(), pid);
    EXPECT_EQ(name.substr(0, 2), "os");
    EXPECT_EQ(expect_value(child.wait(patience())).code, 5);

    const auto refused =
        shell("exit 5")
            .before_exec([](const Newborn&) -> StepResult<void> {
              return std::unexpected(StepError{.code = Errc::kTimedOut, .step = "configure"});
            })
            .spawn();
    EXPECT_EQ(step_of(refused), "configure");
    EXPECT_THROW((void)shell("exit 5")
                     .before_exec([](const Newborn&) -> StepResult<void> { throw 1; })
                     .spawn(),
                 int);
    const auto killed = shell("exit 5")
                            .before_exec([](const Newborn& newborn) -> StepResult<void> {
                              ::kill(newborn.pid, SIGKILL);
                              return {};
                            })
                            .spawn();
    EXPECT_TRUE(step_of(killed).ends_with(": the child was killed by signal 9 before its exec"))
        << step_of(killed);
    EXPECT_EQ(code_of(killed), errno_code(ECHILD));
  });
}

INSTANTIATE_TEST_SUITE_P(
    Ways, LaunchTest,
    ::testing::Values(Way{"AsItIs", {}}, Way{"NoClone3", {.clone3_error = ENOSYS}},
                      Way{"Clone3Forbidden", {.clone3_error = EPERM}},
                      Way{"NoPidfd", {.clone3_error = ENOSYS, .no_pidfd = true}}),
    [](const auto& info) { return std::string(info.param.name); });

using PortableTest = ChildTest;

TEST_F(PortableTest, PosixSpawnDoesWhatIsPortable) {
  run([this] {
    const auto spawn_portably = [this](const Command& command) {
      return detail::launch_portably(command.spec(), runtime());
    };
    auto child =
        expect_value(spawn_portably(Command("/bin/bash", {"-c", "cat; echo $A >&9; exit 6"})
                                        .environment("A", "b")
                                        .standard_input(Stdio::pipe())
                                        .standard_output(Stdio::pipe())
                                        .pass_fd(1, 9)
                                        .process_group(0)));
    expect_ok(child.standard_input().write_all("text", patience()));
    expect_ok(child.standard_input().close());
    char text[4];
    expect_ok(child.standard_output().read_exact({text, 4}, patience()));
    EXPECT_EQ(std::string(text, 4), "text");
    EXPECT_EQ(expect_value(child.wait(patience())).code, 6);

    auto sleeper = expect_value(spawn_portably(Command("sleep", {"100"}).process_group(0)));
    expect_error(sleeper.wait(Deadline::after(5ms)), Errc::kTimedOut);
    expect_ok(sleeper.signal_group(SIGTERM));
    EXPECT_EQ(expect_value(sleeper.wait(patience())).signal, SIGTERM);
    {
      auto destroyed = expect_value(spawn_portably(Command("/bin/sleep", {"100"})));
    }

    EXPECT_EQ(code_of(spawn_portably(Command("no-such-program"))), errno_code(ENOENT));
    const auto umask = spawn_portably(Command("/bin/true").umask(022));
    EXPECT_EQ(step_of(umask), "umask");
    EXPECT_EQ(code_of(umask), make_error_code(Errc::kNotSupported));
    EXPECT_EQ(step_of(spawn_portably(Command("/bin/true").no_new_privileges())), "no_new_privs");
  });
}

using BystanderTest = ChildTest;

// The race: a descriptor that another thread opens without O_CLOEXEC between the parent's look at
// its table and the child's exec. There is no such look: the child marks what it has.
TEST_F(BystanderTest, NothingLeaksThatOtherThreadsOpenMeanwhile) {
  std::atomic<bool> stop = false;
  std::thread opener([&] {
    while (!stop) {
      const int a = ::open("/dev/zero", O_RDONLY);
      const int b = ::dup(a);
      ::close(a);
      ::close(b);
    }
  });
  run([] {
    for (int i = 0; i < 40; ++i) {
      const std::string names =
          said(Command("/bin/ls", {"-l", "/proc/self/fd"}).standard_input(Stdio::null()));
      EXPECT_EQ(names.find("/dev/zero"), std::string::npos) << names;
    }
  });
  stop = true;
  opener.join();
}

TEST_F(BystanderTest, SignalsOfTheParentsAreNotTheChilds) {
  // Both, with a handler and blocked; one that is ignored stays so, but for SIGPIPE.
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  const auto handler = ::signal(SIGUSR2, [](int) {});
  const auto ignored = ::signal(SIGURG, SIG_IGN);
  const auto broken = ::signal(SIGPIPE, SIG_IGN);
  for (const int clone3_error : {0, ENOSYS}) {
    detail::clone_refusals() = {.clone3_error = clone3_error};
    run([] {
      const auto status = [](const Command& command) {
        std::istringstream text(said(command));
        std::string line;
        std::string found;
        while (std::getline(text, line)) {
          if (line.starts_with("Sig") && !line.starts_with("SigQ")) found += line + "\n";
        }
        return found;
      };
      const Command command("/bin/cat", {"/proc/self/status"});
      EXPECT_EQ(status(command),
                "SigPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n"
                "SigIgn:\t0000000000400000\nSigCgt:\t0000000000000000\n");
      EXPECT_EQ(status(Command(command).signals({SIGUSR1})),
                "SigPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n"
                "SigIgn:\t0000000000000200\nSigCgt:\t0000000000000000\n");
      const auto wrong = Command("/bin/true").signals({SIGKILL}).spawn();
      EXPECT_EQ(step_of(wrong), "ignore signal 9");
    });
  }
  detail::clone_refusals() = {};
  ::signal(SIGUSR2, handler);
  ::signal(SIGURG, ignored);
  ::signal(SIGPIPE, broken);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
}

// A handler of the parent's would run in the child, on the parent's memory, once signals are
// unblocked.
TEST_F(BystanderTest, NoHandlerOfTheParentsRunsInTheChild) {
  static volatile sig_atomic_t ran = 0;
  const auto handler = ::signal(SIGUSR2, [](int) { ran = 1; });
  for (const int clone3_error : {0, ENOSYS}) {
    detail::clone_refusals() = {.clone3_error = clone3_error};
    run([] {
      const auto child = Command("/bin/true")
                             .before_exec([](const Newborn& newborn) -> StepResult<void> {
                               ::kill(newborn.pid, SIGUSR2);
                               return {};
                             })
                             .spawn();
      EXPECT_EQ(step_of(child),
                "unblock signals: the child was killed by signal 12 before its exec");
    });
  }
  EXPECT_EQ(ran, 0);
  detail::clone_refusals() = {};
  ::signal(SIGUSR2, handler);
}

// Threads that allocate and fork-unsafe locks that are held all the time: a child that took one
// would never come to its exec.
TEST_F(BystanderTest, AChildNeedsNoLockThatAnotherThreadHolds) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const std::vector<char> memory(1 << 16);
        std::ostringstream text;
        text << ::getenv("PATH") << memory.size();
      }
    });
  }
  run([] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(expect_value(Command("/bin/true").run(patience())).success());
    }
  });
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace rearm::test
