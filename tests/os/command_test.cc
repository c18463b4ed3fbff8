// A command's text, streams, descriptors and environment, and what is wrong with them.
#include <fcntl.h>
#include <sys/resource.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "os/os_fixture.h"

namespace rearm::test {
namespace {

using CommandTest = ChildTest;

TEST_F(CommandTest, ArgumentsArriveAsTheyWereGiven) {
  run([] {
    const Command command("/usr/bin/printf", {"[%s]", "one", "", "two words", "$HOME"});
    EXPECT_EQ(said(command), "[one][][two words][$HOME]");
    EXPECT_EQ(said(shell("echo $0").argument("zero")), "zero\n");
    EXPECT_EQ(said(Command("/bin/sh", {"-c", "cat /proc/$$/cmdline | tr '\\0' ' '"})
                       .argument_zero("other")),
              "other -c cat /proc/$$/cmdline | tr '\\0' ' ' ");
  });
}

TEST_F(CommandTest, ANameWithoutASlashIsLookedForInThePathThatTheChildGets) {
  run([] {
    const SocketDirectory directory;
    SocketDirectory names;
    const std::string program = names.fresh_path();
    std::ofstream(program) << "#!/bin/sh\necho found\n";
    ASSERT_EQ(::chmod(program.c_str(), 0755), 0);
    const std::string path = program.substr(0, program.rfind('/'));
    const Command command =
        Command(program.substr(path.size() + 1)).environment("PATH", "/nothing:" + path + ":/bin");
    EXPECT_EQ(said(command), "found\n");
    const auto missing = Command("no-such-program").spawn();
    EXPECT_EQ(step_of(missing), "exec no-such-program");
    EXPECT_EQ(code_of(missing), errno_code(ENOENT));
  });
}

TEST_F(CommandTest, WhatCannotBeExecutedIsAnErrorWithItsReason) {
  run([] {
    const auto error_of = [](const std::string& program) {
      const auto child = Command(program).spawn();
      return child ? "no error" : to_string(child.error());
    };
    EXPECT_EQ(error_of("/bin/nothing"), "exec /bin/nothing: No such file or directory (errno 2)");
    EXPECT_EQ(error_of("/etc/passwd"), "exec /etc/passwd: Permission denied (errno 13)");
    EXPECT_EQ(error_of("/tmp"), "exec /tmp: Permission denied (errno 13)");
    EXPECT_EQ(error_of("/etc/passwd/x"), "exec /etc/passwd/x: Not a directory (errno 20)");

    SocketDirectory names;
    const std::string script = names.fresh_path();
    std::ofstream(script) << "#! /no/interpreter -x\n";
    ASSERT_EQ(::chmod(script.c_str(), 0755), 0);
    EXPECT_EQ(error_of(script), "exec " + script +
                                    " (its interpreter /no/interpreter): "
                                    "No such file or directory (errno 2)");
    const std::string text = names.fresh_path();
    std::ofstream(text) << "no known format\n";
    ASSERT_EQ(::chmod(text.c_str(), 0755), 0);
    EXPECT_EQ(error_of(text), "exec " + text + ": Exec format error (errno 8)");

    const auto long_one = Command("/bin/true").argument(std::string(4 << 20, 'a')).spawn();
    EXPECT_EQ(step_of(long_one), "exec /bin/true");
    EXPECT_EQ(code_of(long_one), errno_code(E2BIG));
  });
}

TEST_F(CommandTest, TextThatNoChildCanGetIsRefusedBeforeThereIsOne) {
  run([] {
    using namespace std::string_literals;
    const auto step = [](const Command& command) {
      const auto child = command.spawn();
      EXPECT_EQ(code_of(child), make_error_code(Errc::kInvalidArgument));
      return step_of(child);
    };
    EXPECT_EQ(step(Command("")), "program: empty");
    EXPECT_EQ(step(Command("/bin/tr\0ue"s)), "program: a NUL");
    EXPECT_EQ(step(Command("/bin/true", {"a", "b\0"s})), "argument 2: a NUL");
    EXPECT_EQ(step(Command("/bin/true").argument_zero("\0"s)), "argument 0: a NUL");
    EXPECT_EQ(step(Command("/bin/true").environment("A", "\0"s)), "environment A: a NUL");
    const std::string name = "environment: a name that is empty or has a '=' or a NUL";
    EXPECT_EQ(step(Command("/bin/true").environment("A=B", "")), name);
    EXPECT_EQ(step(Command("/bin/true").environment("", "")), name);
    EXPECT_EQ(step(Command("/bin/true").working_directory("\0"s)), "working directory: a NUL");
    EXPECT_EQ(step(Command("/bin/true").pass_fd(1, -2)), "pass fd 1 as -2");
    EXPECT_EQ(step(Command("/bin/true").pass_fd(1, 2)), "pass fd 1 as 2: given twice");
    EXPECT_EQ(step(Command("/bin/true").pass_fd(1, 7).pass_fd(2, 7)),
              "pass fd 2 as 7: given twice");
    EXPECT_EQ(step(Command("/bin/true").mount(Mount::proc("/proc"))),
              "mount: without a mount namespace it would be the parent's");
  });
}

TEST_F(CommandTest, TheEnvironmentIsTheParentsWithItsChanges) {
  run([] {
    ::setenv("REARM_TEST_OLD", "old", 1);
    ::setenv("REARM_TEST_GONE", "gone", 1);
    const Command command = shell("echo $REARM_TEST_OLD,$REARM_TEST_GONE,$REARM_TEST_NEW")
                                .environment("REARM_TEST_NEW", "a")
                                .without_environment("REARM_TEST_GONE")
                                .environment("REARM_TEST_NEW", "b=c");
    EXPECT_EQ(said(command), "old,,b=c\n");
    EXPECT_EQ(said(Command("/usr/bin/env").clear_environment().environment("A", "b")), "A=b\n");
    ::unsetenv("REARM_TEST_OLD");
    ::unsetenv("REARM_TEST_GONE");
  });
}

TEST_F(CommandTest, TheWorkingDirectoryIsTheChildsAlone) {
  run([] {
    EXPECT_EQ(said(Command("/bin/pwd").working_directory("/usr/lib")), "/usr/lib\n");
    const auto gone = Command("/bin/pwd").working_directory("/no/such").spawn();
    EXPECT_EQ(step_of(gone), "change to directory /no/such");
    EXPECT_EQ(code_of(gone), errno_code(ENOENT));
  });
}

TEST_F(CommandTest, StreamsLeadWhereTheyWereTold) {
  run([] {
    SocketDirectory names;
    const std::string path = names.fresh_path();
    const Command to_file = shell("echo out; echo err >&2")
                                .standard_output(Stdio::file(path, Stdio::Open::kTruncate))
                                .standard_error(Stdio::same_as_output());
    EXPECT_TRUE(expect_value(to_file.run(patience())).success());
    const Command appended =
        shell("echo more").standard_output(Stdio::file(path, Stdio::Open::kAppend));
    EXPECT_TRUE(expect_value(appended.run(patience())).success());
    EXPECT_EQ(said(Command("/bin/cat").standard_input(Stdio::file(path, Stdio::Open::kRead))),
              "out\nerr\nmore\n");
    EXPECT_EQ(said(Command("/bin/cat").standard_input(Stdio::null())), "");

    const auto missing =
        Command("/bin/cat").standard_input(Stdio::file("/no/such", Stdio::Open::kRead)).spawn();
    EXPECT_EQ(step_of(missing), "standard input: open /no/such");
    EXPECT_EQ(step_of(Command("/bin/cat").standard_input(Stdio::fd(-1)).spawn()), "standard input");
    EXPECT_EQ(step_of(Command("/bin/cat").standard_output(Stdio::same_as_output()).spawn()),
              "standard output");
    const auto closed = Command("/bin/cat").standard_input(Stdio::fd(987)).spawn();
    EXPECT_EQ(step_of(closed), "pass fd as 0");
    EXPECT_EQ(code_of(closed), errno_code(EBADF));

    const std::string fifo = names.fresh_path();
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const auto nobody = shell("").standard_output(Stdio::file(fifo, Stdio::Open::kAppend)).spawn();
    EXPECT_EQ(code_of(nobody), errno_code(ENXIO));
  });
}

TEST_F(CommandTest, APipeIsReadAndWrittenByTheFiber) {
  run([] {
    auto child = expect_value(
        Command("/bin/cat").standard_input(Stdio::pipe()).standard_output(Stdio::pipe()).spawn());
    for (int i = 0; i < 10; ++i) {
      expect_ok(child.standard_input().write_all("ping\n", patience()));
      char answer[5];
      expect_ok(child.standard_output().read_exact({answer, sizeof(answer)}, patience()));
      EXPECT_EQ(std::string(answer, sizeof(answer)), "ping\n");
    }
    EXPECT_FALSE(child.standard_error().is_open());
    expect_ok(child.standard_input().close());
    EXPECT_TRUE(expect_value(child.wait(patience())).success());
  });
}

// What "/proc/self/fd" of a child shows, as "0 1 2".
[[nodiscard]] std::string open_numbers(Command command) {
  // The shell's glob opens the directory as one more.
  return said(
      command.argument("-c").argument("for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 20 21 22 30 100; do "
                                      "[ -e /proc/self/fd/$f ] && printf '%s ' $f; done; true"));
}

TEST_F(CommandTest, DescriptorsComeAtTheirNumbersWhateverTheyWereBefore) {
  run([] {
    const Pipe pipe = expect_value(Pipe::create());
    SocketDirectory names;
    std::vector<int> files;
    for (int i = 0; i < 4; ++i) {
      const std::string path = names.fresh_path();
      std::ofstream(path) << i;
      files.push_back(require(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open"));
    }
    const auto [a, b, c, d] = std::tuple(files[0], files[1], files[2], files[3]);
    const auto n = [](int number) { return std::to_string(number); };
    const auto all = [&] {
      return said(Command("/bin/bash", {"-c", "cat <&" + n(a) + "; cat <&" + n(b) + "; cat <&" +
                                                  n(c) + "; cat <&" + n(d)})
                      .pass_fd(b, a)
                      .pass_fd(c, b)
                      .pass_fd(a, c)
                      .pass_fd(d, d));
    };
    // A cycle of three, and one that stays where it is.
    EXPECT_EQ(all(), "1203");
    for (const int file : files) (void)::lseek(file, 0, SEEK_SET);
    // One as several; one far away.
    EXPECT_EQ(
        said(Command("/bin/bash", {"-c", "cat <&30; cat <&100"}).pass_fd(b, 30).pass_fd(c, 100)),
        "12");
    EXPECT_EQ(open_numbers(Command("/bin/bash").pass_fd(a, 21).pass_fd(a, 22)), "0 1 2 21 22 ");
    EXPECT_EQ(open_numbers(Command("/bin/bash")), "0 1 2 ");
    const auto beyond = Command("/bin/true").pass_fd(a, 1 << 30).spawn();
    EXPECT_EQ(step_of(beyond), "pass fd as 1073741824");
    EXPECT_EQ(code_of(beyond), errno_code(EBADF));
    for (const int file : files) ::close(file);
  });
}

TEST_F(CommandTest, AClosedStreamOfTheParentsIsNull) {
  // In a child of its own, because a test's stdin is everybody's.
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(0);
    ::close(2);
    int code = 1;
    {
      Runtime runtime({.workers = 1});
      runtime.run([&] {
        const auto status = shell(
                                "[ /proc/self/fd/0 -ef /dev/null ] && [ /proc/self/fd/2 -ef "
                                "/dev/null ] && cat")
                                .run(patience());
        code = status && status->success() ? 0 : 2;
      });
    }
    ::_exit(code);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace rearm::test
