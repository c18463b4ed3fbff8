// What only Linux has: each option against what the kernel says of the child, and a second opinion.
#include "os/sandbox.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/resource.h>

#include <filesystem>
#include <sstream>
#include <thread>

#include "os/os_fixture.h"

namespace rearm::test {
namespace {

class SandboxTest : public ChildTest {
 protected:
  void SetUp() override {
    if (const std::string reason = no_namespaces(); !reason.empty()) GTEST_SKIP() << reason;
    ChildTest::SetUp();
  }
  void TearDown() override {
    if (!IsSkipped()) ChildTest::TearDown();
  }
};

// A cgroup that had a process is busy for a moment longer.
[[nodiscard]] bool eventually_removed(const std::string& path) {
  for (int i = 0; i < 1000; ++i) {
    if (::rmdir(path.c_str()) == 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

using PrivilegeTest = ChildTest;

TEST_F(PrivilegeTest, LimitsUmaskNiceAndAffinityAreTheChilds) {
  run([] {
    EXPECT_EQ(said(Command("/bin/bash", {"-c", "umask; nice; ulimit -n; ulimit -Hn; ulimit -c"})
                       .umask(027)
                       .nice(3)
                       .limit(Limit::kOpenFiles, 50, 60)
                       .limit(Limit::kCoreBytes, 0, 0)
                       .cpus({0})),
              "0027\n3\n50\n60\n0\n");
    EXPECT_EQ(said(Command("/bin/grep", {"Cpus_allowed_list", "/proc/self/status"}).cpus({0})),
              "Cpus_allowed_list:\t0\n");
    const auto absurd = Command("/bin/true").cpus({1u << 20}).spawn();
    EXPECT_EQ(step_of(absurd), "set affinity: processor 1048576");
    const auto crossed = Command("/bin/true").limit(Limit::kOpenFiles, 60, 50).spawn();
    EXPECT_EQ(step_of(crossed), "limit open files");
    EXPECT_EQ(code_of(crossed), errno_code(EINVAL));
  });
}

TEST_F(PrivilegeTest, ASessionAndATerminalAreItsOwn) {
  run([] {
    EXPECT_EQ(said(shell("set -- $(cat /proc/self/stat); [ $(ps -o sid= $$) = $$ ] && echo own")
                       .new_session()),
              "own\n");
    int master = -1;
    int slave = -1;
    ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
    EXPECT_EQ(said(shell("[ -c /dev/tty ] && : </dev/tty && echo has one")
                       .standard_input(Stdio::fd(slave))
                       .new_session()
                       .controlling_terminal(0)),
              "has one\n");
    const auto none = shell("").standard_input(Stdio::null()).new_session().controlling_terminal(0);
    EXPECT_EQ(step_of(none.spawn()), "set controlling terminal 0");
    ::close(master);
    ::close(slave);
  });
}

TEST_F(PrivilegeTest, UsersAndCapabilitiesAreWhatWasSaid) {
  if (::getuid() != 0) GTEST_SKIP() << "changing the user needs root";
  run([] {
    const std::string status = "/proc/self/status";
    EXPECT_EQ(said(Command("/bin/sh", {"-c", "id -u; id -g; id -G"})
                       .user(1234)
                       .group(2345)
                       .groups({7, 8})),
              "1234\n2345\n2345 7 8\n");
    const Capabilities bind{.effective = {Capability::kNetBindService},
                            .permitted = {Capability::kNetBindService},
                            .inheritable = {Capability::kNetBindService},
                            .bounding = {Capability::kNetBindService, Capability::kKill},
                            .ambient = {Capability::kNetBindService}};
    EXPECT_EQ(said(Command("/bin/grep", {"Cap", status}).user(1234).groups({}).capabilities(bind)),
              "CapInh:\t0000000000000400\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\n"
              "CapBnd:\t0000000000000420\nCapAmb:\t0000000000000400\n");
    const auto beyond = Command("/bin/true")
                            .capabilities({.effective = {},
                                           .permitted = {},
                                           .inheritable = {},
                                           .ambient = {Capability::kKill}})
                            .spawn();
    EXPECT_EQ(step_of(beyond), "raise ambient capability 5");
    EXPECT_EQ(code_of(beyond), errno_code(EPERM));
    EXPECT_EQ(said(Command("/usr/bin/setpriv", {"-d"}).securebits(0x5)).find("noroot,") !=
                  std::string::npos,
              true);
  });
}

// The same command by util-linux and by Python: what the kernel says of the child must be equal.
TEST_F(PrivilegeTest, OthersMakeTheSameChild) {
  if (::getuid() != 0) GTEST_SKIP() << "changing the user needs root";
  if (!std::filesystem::exists("/usr/bin/setpriv")) GTEST_SKIP() << "no setpriv here";
  run([] {
    // Without what differs from one process to the next.
    const std::string look =
        "grep -E '^(Umask|Uid|Gid|Groups|Sig(Q|Blk|Ign|Cgt)|Cap|NoNew|Seccomp:|Cpus_allowed:)' "
        "/proc/self/status | grep -v SigQ; grep -E 'files|core' /proc/self/limits; "
        "readlink /proc/self/ns/net /proc/self/ns/user";
    const std::string ours =
        said(shell(look).user(1234).group(2345).groups({}).no_new_privileges().umask(027).limit(
            Limit::kOpenFiles, 50, 60));
    const std::string setpriv =
        said(Command("/usr/bin/prlimit",
                     {"--nofile=50:60", "/usr/bin/setpriv", "--reuid=1234", "--regid=2345",
                      "--clear-groups", "--no-new-privs", "/bin/sh", "-c", look})
                 .umask(027));
    EXPECT_EQ(ours, setpriv);
    const std::string python = said(Command(
        "/usr/bin/python3",
        {"-c",
         "import resource, subprocess, sys, ctypes\n"
         "def last():\n"
         "  resource.setrlimit(resource.RLIMIT_NOFILE, (50, 60))\n"
         "  ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
         "subprocess.run(['/bin/sh', '-c', sys.argv[1]], user=1234, group=2345, extra_groups=[],\n"
         "               umask=0o27, preexec_fn=last, check=True)\n",
         look}));
    EXPECT_EQ(ours, python);
  });
}

TEST_F(SandboxTest, NamespacesOfItsOwnHaveItsMapsItsNameAndItsProcesses) {
  run([] {
    const Command command =
        Command("/bin/sh", {"-c", "id -u; id -g; hostname; echo $$; wc -l </proc/net/dev"})
            .user_namespace(Sandbox::users(), Sandbox::groups())
            .new_namespaces({Namespace::kUts, Namespace::kPid, Namespace::kNet})
            .hostname("box");
    const std::string text = said(command);
    EXPECT_TRUE(text.starts_with("0\n0\nbox\n1\n")) << text;
    // Each kind that is made is another one, and the rest is the parent's.
    const auto links = [](const Command& one) { return said(one); };
    const std::string kinds = "cd /proc/self/ns; readlink user mnt pid net ipc uts cgroup";
    const auto lines = [](const std::string& lines_text) {
      std::vector<std::string> found;
      std::istringstream in(lines_text);
      std::string line;
      while (std::getline(in, line)) found.push_back(line);
      return found;
    };
    const auto parents = lines(links(shell(kinds)));
    const auto childs =
        lines(links(shell(kinds)
                        .user_namespace(Sandbox::users(), Sandbox::groups())
                        .new_namespaces({Namespace::kNet, Namespace::kIpc, Namespace::kCgroup})));
    ASSERT_EQ(parents.size(), 7U);
    ASSERT_EQ(childs.size(), 7U);
    for (std::size_t i = 0; i < parents.size(); ++i) {
      const bool is_made = i == 0 || i == 3 || i == 4 || i == 6;
      EXPECT_EQ(parents[i] != childs[i], is_made) << parents[i];
    }
  });
}

TEST_F(SandboxTest, ItsRootHasWhatWasMountedAndNothingElse) {
  run([] {
    SocketDirectory names;
    const Sandbox sandbox(names.fresh_path());
    EXPECT_EQ(said(sandbox.confine(Command(
                  "/bin/sh", {"-c",
                              "cd /; ls -d *; echo x >/tmp/x; cat /tmp/x; ls /proc | head -1; "
                              "touch /usr/never 2>/dev/null || echo read-only"}))),
              "bin\netc\nlib\nlib64\nproc\ntmp\nusr\nx\n1\nread-only\n");
    EXPECT_EQ(mounts_below(sandbox.root()), 0U);
    const auto missing = sandbox.confine(Command("/bin/true")).mount(Mount::proc("/no/such"));
    EXPECT_EQ(step_of(missing.spawn()), "mount proc on " + sandbox.root() + "/no/such");
    if (::getuid() == 0) {
      EXPECT_EQ(step_of(Command("/bin/sh").root(sandbox.root(), Command::Root::kChroot).spawn()),
                "exec /bin/sh");
    }
    const auto nowhere = Command("/bin/sh").root("/no/such", Command::Root::kChroot);
    EXPECT_EQ(step_of(nowhere.spawn()), "chroot to /no/such");
  });
}

TEST_F(SandboxTest, ANamespaceThatIsThereIsEntered) {
  run([] {
    auto holder = expect_value(Command("/bin/sleep", {"100"})
                                   .user_namespace(Sandbox::users(), Sandbox::groups())
                                   .new_namespaces({Namespace::kUts})
                                   .hostname("held")
                                   .spawn());
    const std::string path = "/proc/" + std::to_string(holder.pid()) + "/ns/";
    const int user = require(::open((path + "user").c_str(), O_RDONLY | O_CLOEXEC), "open");
    const int uts = require(::open((path + "uts").c_str(), O_RDONLY | O_CLOEXEC), "open");
    EXPECT_EQ(said(Command("/bin/hostname")
                       .enter_namespace(Namespace::kUser, user)
                       .enter_namespace(Namespace::kUts, uts)),
              "held\n");
    const auto wrong = Command("/bin/true").enter_namespace(Namespace::kNet, uts).spawn();
    EXPECT_EQ(step_of(wrong), "enter namespace net");
    ::close(user);
    ::close(uts);
  });
}

TEST_F(SandboxTest, ACgroupIsJoinedBeforeAnythingElse) {
  // Version 2 is entered by the clone, version 1 by the child.
  for (const std::string hierarchy :
       {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"}) {
    const std::string path = hierarchy + "/rearm-test-" + std::to_string(::getpid());
    if (!std::filesystem::exists(hierarchy + "/cgroup.procs")) continue;
    if (::mkdir(path.c_str(), 0755) != 0) continue;
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    run([&] {
      const std::string text = said(Command("/bin/cat", {"/proc/self/cgroup"}).cgroup(fd));
      EXPECT_NE(text.find("/rearm-test-"), std::string::npos) << hierarchy << "\n" << text;
      EXPECT_EQ(step_of(Command("/bin/true").cgroup(9999).spawn()), "join cgroup");
    });
    ::close(fd);
    EXPECT_TRUE(eventually_removed(path)) << path;
  }
}

}  // namespace
}  // namespace rearm::test
