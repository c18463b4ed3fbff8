// A child's life: waiting, signals, its end, and who else may meddle.
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "os/os_fixture.h"

namespace rearm::test {
namespace {

using namespace std::chrono_literals;
using ChildLifeTest = ChildTest;

TEST_F(ChildLifeTest, TheStatusSaysHowItEnded) {
  run([] {
    EXPECT_EQ(to_string(expect_value(shell("exit 7").run(patience()))), "exit code 7");
    const auto killed = expect_value(shell("kill -TERM $$").run(patience()));
    EXPECT_EQ(killed.signal, SIGTERM);
    EXPECT_EQ(killed.code, -1);
    EXPECT_FALSE(killed.success());
    const auto busy =
        expect_value(shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").run(patience()));
    EXPECT_GT(busy.usage.user_time + busy.usage.system_time, 0us);
    EXPECT_GT(busy.usage.peak_resident_bytes, 100'000U);
  });
}

TEST_F(ChildLifeTest, WaitingParksAndHasADeadline) {
  run([] {
    auto child = expect_value(Command("/bin/sleep", {"100"}).spawn());
    const auto start = std::chrono::steady_clock::now();
    expect_error(child.wait(Deadline::after(20ms)), Errc::kTimedOut);
    EXPECT_LT(since(start), 10s);
    expect_error(child.wait(Deadline::immediate()), Errc::kTimedOut);
    expect_ok(child.kill());
    EXPECT_EQ(expect_value(child.wait(patience())).signal, SIGKILL);
    // Again, and not a stranger afterwards.
    EXPECT_EQ(expect_value(child.wait(Deadline::immediate())).signal, SIGKILL);
    expect_error(child.signal(SIGTERM), errno_code(ESRCH));
    expect_error(child.signal_group(SIGTERM), Errc::kInvalidArgument);
  });
}

TEST_F(ChildLifeTest, OneWorkerServesOthersWhileAFiberWaits) {
  open({.workers = 1});
  run([] {
    std::atomic<bool> ended = false;
    auto waiter = spawn([&] {
      auto child = expect_value(Command("/bin/sleep", {"0.05"}).spawn());
      EXPECT_TRUE(expect_value(child.wait(patience())).success());
      ended = true;
    });
    int others = 0;
    while (!ended) {
      (void)this_fiber::sleep_for(1ms);
      ++others;
    }
    EXPECT_GT(others, 5);
    waiter.join();
  });
}

TEST_F(ChildLifeTest, ASecondWaitIsBusy) {
  run([] {
    auto child = expect_value(Command("/bin/sleep", {"100"}).spawn());
    auto waiter = spawn([&] { return child.wait(patience()); });
    let_park();
    expect_error(child.wait(patience()), Errc::kBusy);
    expect_error(child.signal(12345), errno_code(EINVAL));
    expect_ok(child.signal(SIGTERM));
    EXPECT_EQ(expect_value(waiter.join()).signal, SIGTERM);
  });
}

TEST_F(ChildLifeTest, DestroyingOneKillsAndReapsIt) {
  run([] {
    int pid = -1;
    {
      auto child = expect_value(Command("/bin/sleep", {"100"}).spawn());
      pid = child.pid();
      EXPECT_EQ(::kill(pid, 0), 0);
    }
    EXPECT_EQ(::kill(pid, 0), -1);
    Child first = expect_value(Command("/bin/sleep", {"100"}).spawn());
    pid = first.pid();
    first = expect_value(Command("/bin/true").spawn());
    EXPECT_EQ(::kill(pid, 0), -1);
    const Child moved = std::move(first);
    EXPECT_EQ(first.pid(), -1);
    expect_error(first.wait(), Errc::kClosed);
    expect_error(first.kill(), Errc::kClosed);
    expect_error(first.detach(), Errc::kClosed);
    EXPECT_EQ(Child().pidfd(), -1);
  });
}

TEST_F(ChildLifeTest, ADetachedOneIsReapedByAFiber) {
  run([] {
    auto child = expect_value(Command("/bin/sleep", {"0.02"}).spawn());
    expect_ok(child.detach());
    EXPECT_EQ(child.pid(), -1);
    auto ended = expect_value(Command("/bin/true").spawn());
    expect_ok(ended.detach());
  });
}

TEST_F(ChildLifeTest, ARequestToStopEndsTheWaitAndTheChild) {
  open({.workers = 2});
  run([&] {
    auto waiter = spawn([] {
      auto child = expect_value(Command("/bin/sleep", {"100"}).spawn());
      expect_error(child.wait(), Errc::kCancelled);
    });
    let_park();
    runtime().request_stop();
    waiter.join();
  });
}

TEST_F(ChildLifeTest, AForeignWaitTakesTheStatusAndNothingElse) {
  run([] {
    auto child = expect_value(Command("/bin/true").spawn());
    const int pid = child.pid();
    EXPECT_EQ(::waitpid(-1, nullptr, 0), pid);
    expect_error(child.wait(patience()), errno_code(ECHILD));
    expect_error(child.kill(), errno_code(ESRCH));
  });
}

TEST_F(ChildLifeTest, OthersChildrenAreLeftAloneAndNoHandlerIsSet) {
  struct sigaction before{};
  ASSERT_EQ(::sigaction(SIGCHLD, nullptr, &before), 0);
  const pid_t own = ::fork();
  if (own == 0) ::_exit(3);
  run([] {
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(expect_value(Command("/bin/true").run(patience())).success());
    }
  });
  struct sigaction after{};
  ASSERT_EQ(::sigaction(SIGCHLD, nullptr, &after), 0);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  int status = 0;
  EXPECT_EQ(::waitpid(own, &status, 0), own);
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST_F(ChildLifeTest, AGroupOfItsOwnIsSignalledWhole) {
  run([] {
    auto child = expect_value(
        shell("sleep 100 & sleep 100").process_group(0).standard_output(Stdio::pipe()).spawn());
    expect_ok(child.signal_group(SIGKILL));
    EXPECT_EQ(expect_value(child.wait(patience())).signal, SIGKILL);
    // The grandchild held the pipe, and is gone as well.
    char byte;
    EXPECT_EQ(expect_value(child.standard_output().read_some({&byte, 1}, patience())), 0U);
  });
}

TEST_F(ChildLifeTest, OutputHasBothStreamsWhateverIsReadFirst) {
  run([] {
    const auto output = expect_value(
        shell("i=0; while [ $i -lt 2000 ]; do echo out$i; echo error$i >&2; i=$((i+1)); done; "
              "exit 3")
            .output(patiently()));
    EXPECT_EQ(output.status.code, 3);
    EXPECT_TRUE(output.standard_output.ends_with("out1999\n"));
    EXPECT_TRUE(output.standard_error.ends_with("error1999\n"));
    const std::string input(1 << 20, 'i');
    const auto echoed =
        expect_value(Command("/bin/cat").output({.deadline = patience(), .input = input}));
    EXPECT_EQ(echoed.standard_output, input);
    // One that does not read what it is given.
    const auto deaf =
        expect_value(Command("/bin/true").output({.deadline = patience(), .input = input}));
    EXPECT_TRUE(deaf.status.success());
  });
}

TEST_F(ChildLifeTest, OutputHasLimits) {
  run([] {
    const auto flood =
        Command("/bin/cat", {"/dev/zero"}).output({.deadline = patience(), .max_bytes = 100'000});
    EXPECT_EQ(code_of(flood), errno_code(EMSGSIZE));
    const auto exact =
        expect_value(shell("printf 12345").output({.deadline = patience(), .max_bytes = 5}));
    EXPECT_EQ(exact.standard_output, "12345");
    const auto late = shell("trap '' TERM; echo begun; exec sleep 100")
                          .output({.deadline = Deadline::after(100ms)});
    EXPECT_EQ(code_of(late), make_error_code(Errc::kTimedOut));
    // A daemon that keeps the pipes is not waited for, and what was written is there.
    const auto daemon = expect_value(shell("sleep 3 & echo $!; echo whole").output(patiently()));
    EXPECT_TRUE(daemon.standard_output.ends_with("whole\n"));
    ::kill(std::stoi(daemon.standard_output), SIGKILL);
    EXPECT_EQ(code_of(Command("/bin/sleep", {"100"}).run(Deadline::after(20ms))),
              make_error_code(Errc::kTimedOut));
  });
}

TEST_F(ChildLifeTest, APlainThreadStartsAndWaits) {
  open({.workers = 2});
  run([&] {
    std::atomic<bool> done = false;
    std::thread plain([&] {
      auto child = expect_value(Command("/bin/sleep", {"0.01"}).spawn(runtime()));
      EXPECT_TRUE(expect_value(child.wait(patience())).success());
      done = true;
    });
    EXPECT_TRUE(eventually([&] { return done.load(); }));
    plain.join();
  });
}

TEST_F(ChildLifeTest, ManyFibersHaveManyChildren) {
  run([] {
    std::vector<JoinHandle<void>> fibers;
    for (int i = 0; i < 50; ++i) {
      fibers.push_back(spawn([i] {
        const auto status = expect_value(shell("exit " + std::to_string(i)).run(patience()));
        EXPECT_EQ(status.code, i);
      }));
    }
    for (auto& fiber : fibers) fiber.join();
  });
}

}  // namespace
}  // namespace rearm::test
