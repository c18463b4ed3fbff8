// Every system call of a child fails in turn, and is killed in turn: the step is named, and nothing
// is left (ChildTest's tear-down looks for children and descriptors).
#include <fcntl.h>
#include <sys/stat.h>

#include <set>

#include "os/command_spec.h"
#include "os/launch.h"
#include "os/os_fixture.h"
#include "os/plan.h"
#include "os/sandbox.h"

namespace rearm::test {
namespace {

using StepsTest = ChildTest;

struct Swept {
  std::set<std::string> steps;
  unsigned calls = 0;
};

// Lets the n-th call fail with `error`, or kills the child there, for every n there is.
Swept sweep(const Command& command, Runtime& runtime, int error) {
  Swept swept;
  for (unsigned n = 0; n < 500; ++n) {
    const detail::Injection injection{.at = n, .error = error};
    auto child = detail::launch_injected(command.spec(), runtime, injection);
    if (child) {
      // The exec itself is not one that a kill at it can be told from one after it.
      const auto status = expect_value(child->wait(patience()));
      const bool is_end = status.success();
      EXPECT_TRUE(is_end || error == 0) << to_string(status);
      if (is_end) return swept;
      continue;
    }
    ++swept.calls;
    std::string step = child.error().step;
    const std::error_code expected = error != 0 ? errno_code(error) : errno_code(ECHILD);
    EXPECT_EQ(child.error().code, expected) << step;
    if (error == 0) {
      const auto tail = step.find(": the child was killed");
      EXPECT_NE(tail, std::string::npos) << step;
      step = step.substr(0, tail);
    }
    swept.steps.insert(step);
  }
  ADD_FAILURE() << "there is no end to the calls";
  return swept;
}

TEST_F(StepsTest, APlainChildFailsAtEachCallByName) {
  run([this] {
    const std::set<std::string> expected = {
        "change to directory /", "pass fd as 0",    "pass fd as 1",
        "pass fd as 2",          "pass fd as 9",    "close other descriptors",
        "make session",          "set umask",       "limit core bytes",
        "reset signals",         "unblock signals", "set no_new_privs",
        "exec /bin/true"};
    const auto handler = ::signal(SIGPIPE, SIG_IGN);
    const Command command = Command("/bin/true")
                                .working_directory("/")
                                .standard_input(Stdio::pipe())
                                .standard_output(Stdio::null())
                                .pass_fd(1, 9)
                                .new_session()
                                .umask(027)
                                .limit(Limit::kCoreBytes, 0, 0)
                                .no_new_privileges();
    EXPECT_EQ(sweep(command, runtime(), EIO).steps, expected);
    auto killed = sweep(command, runtime(), 0).steps;
    killed.insert("exec /bin/true");  // A kill there is the program's end.
    EXPECT_EQ(killed, expected);
    ::signal(SIGPIPE, handler);
  });
}

// EPERM, ENOSYS and EINVAL of close_range() have a second best, which must do as well.
TEST_F(StepsTest, WithoutCloseRangeEverythingIsClosedAllTheSame) {
  run([this] {
    const int leak = require(::open("/dev/zero", O_RDONLY), "open");
    const int far = require(::fcntl(leak, F_DUPFD, 300), "dup");
    const Command command = Command("/bin/ls", {"-l", "/proc/self/fd"})
                                .standard_input(Stdio::null())
                                .standard_output(Stdio::pipe());
    const auto listing = [&](unsigned at, int error) -> std::string {
      auto child = detail::launch_injected(command.spec(), runtime(), {.at = at, .error = error});
      if (!child) return "";
      std::string text(4096, '\0');
      std::size_t size = 0;
      while (const auto n = child->standard_output()
                                .read_some({text.data() + size, text.size() - size}, patience())
                                .value_or(0)) {
        size += n;
      }
      EXPECT_TRUE(expect_value(child->wait(patience())).success());
      return text.substr(0, size);
    };
    int succeeded = 0;
    for (unsigned at = 0; at < 6; ++at) {
      for (const int error : {ENOSYS, EINVAL, EPERM}) {
        const std::string text = listing(at, error);
        EXPECT_EQ(text.find("/dev/zero"), std::string::npos) << at << ": " << text;
        succeeded += text.empty() ? 0 : 1;
      }
    }
    EXPECT_GE(succeeded, 3) << "close_range() was never the one that failed";
    ::close(leak);
    ::close(far);
  });
}

TEST_F(StepsTest, ASandboxedChildFailsAtEachCallByName) {
  if (const std::string reason = no_namespaces(); !reason.empty()) GTEST_SKIP() << reason;
  run([this] {
    SocketDirectory names;
    const Sandbox sandbox(names.fresh_path());
    const Command command = sandbox.everything();
    ASSERT_TRUE(expect_value(command.run(patience())).success());
    const Swept failed = sweep(command, runtime(), EIO);
    for (const char* step :
         {"wait for the parent", "set host name box", "make mounts private",
          "change to the new root", "close other descriptors", "set groups", "set group 0",
          "set user 0", "set capabilities", "clear ambient capabilities", "load seccomp filter",
          "set securebits", "set nice value", "set affinity", "set parent-death signal 9",
          "exec /bin/true"}) {
      EXPECT_TRUE(failed.steps.contains(step)) << step;
    }
    EXPECT_GT(failed.calls, 40U);
    const Swept killed = sweep(command, runtime(), 0);
    EXPECT_GT(killed.steps.size(), 25U);
    EXPECT_EQ(mounts_below(sandbox.root()), 0U);
  });
}

}  // namespace
}  // namespace rearm::test
