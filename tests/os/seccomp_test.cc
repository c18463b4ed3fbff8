// Filters: what is refused before there is a child, and what one does to it.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <thread>

#include "os/bpf_check.h"
#include "os/os_fixture.h"
#include "rearm/os/seccomp_filter.h"

namespace rearm::test {
namespace {

using Instruction = SeccompFilter::Instruction;
using enum SeccompArgument::Compare;

constexpr std::uint32_t kAllow = 0x7fff0000;
constexpr std::uint32_t kKill = 0x80000000;

constexpr Instruction load(std::uint32_t offset) {
  return {.code = 0x20, .if_true = 0, .if_false = 0, .operand = offset};
}
constexpr Instruction is_equal(std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
  return {.code = 0x15, .if_true = yes, .if_false = no, .operand = value};
}
constexpr Instruction give(std::uint32_t verdict) {
  return {.code = 0x06, .if_true = 0, .if_false = 0, .operand = verdict};
}
constexpr Instruction plain(std::uint16_t code, std::uint32_t operand = 0) {
  return {.code = code, .if_true = 0, .if_false = 0, .operand = operand};
}

[[nodiscard]] std::string fault(const std::vector<Instruction>& program) {
  const auto filter = SeccompFilter::from_bpf(program);
  EXPECT_TRUE(filter || filter.error().code == Errc::kInvalidArgument);
  return step_of(filter);
}

TEST(SeccompBpfTest, AProgramThatTheKernelWouldRefuseIsRefused) {
  const std::string prefix = "seccomp filter: ";
  EXPECT_EQ(fault({}), prefix + "no instruction");
  EXPECT_EQ(fault({give(kAllow)}), "no error");
  EXPECT_EQ(fault({load(0)}), prefix + "no return at the end");
  EXPECT_EQ(fault({load(2), give(kAllow)}),
            prefix + "instruction 0: loads outside of seccomp_data");
  EXPECT_EQ(fault({load(64), give(kAllow)}),
            prefix + "instruction 0: loads outside of seccomp_data");
  EXPECT_EQ(fault({is_equal(1, 0, 1), give(kAllow)}),
            prefix + "instruction 0: jumps out of the program");
  EXPECT_EQ(fault({plain(0x05, 1), give(kAllow)}),
            prefix + "instruction 0: jumps out of the program");
  EXPECT_EQ(fault({plain(0x34, 0), give(kAllow)}), prefix + "instruction 0: divides by zero");
  EXPECT_EQ(fault({plain(0x64, 32), give(kAllow)}), prefix + "instruction 0: shifts by 32 or more");
  EXPECT_EQ(fault({plain(0x02, 16), give(kAllow)}),
            prefix + "instruction 0: uses a cell beyond the sixteenth");
  EXPECT_EQ(fault({plain(0x28, 0), give(kAllow)}), prefix + "instruction 0: not one of seccomp's");
  EXPECT_EQ(fault({plain(0x94, 3), give(kAllow)}), prefix + "instruction 0: not one of seccomp's");
  EXPECT_EQ(fault(std::vector<Instruction>(4097, give(kAllow))),
            prefix + "more than 4096 instructions");
}

TEST(SeccompBpfTest, AFilterThatForbidsItsOwnExecveIsRefused) {
  const std::string forbids = "seccomp filter: forbids its own execve";
  EXPECT_EQ(fault({give(kKill)}), forbids);
  EXPECT_EQ(fault({load(0), is_equal(SYS_execve, 0, 1), give(0x00050001), give(kAllow)}), forbids);
  EXPECT_EQ(fault({load(0), is_equal(SYS_execve, 1, 0), give(kKill), give(kAllow)}), "no error");
  // By way of a cell, the index and arithmetic.
  EXPECT_EQ(fault({load(0), plain(0x02, 3), plain(0x00, 7), plain(0x61, 3), plain(0x87),
                   plain(0x14, SYS_execve), is_equal(0, 0, 1), give(kKill), give(kAllow)}),
            forbids);
  // What depends on its arguments may pass.
  EXPECT_EQ(fault({load(16), is_equal(1, 0, 1), give(kAllow), give(kKill)}), "no error");
  EXPECT_EQ(fault({plain(0x00, kKill), plain(0x16)}), forbids);
}

// Programs of all that there is, and of what there is not.
[[nodiscard]] std::vector<std::vector<Instruction>> random_programs(std::size_t count) {
  constexpr std::uint16_t kCodes[] = {0x20, 0x15, 0x1d, 0x25, 0x35, 0x45, 0x05, 0x06, 0x16,
                                      0x00, 0x01, 0x02, 0x03, 0x60, 0x61, 0x80, 0x81, 0x07,
                                      0x87, 0x84, 0x04, 0x0c, 0x14, 0x24, 0x34, 0x44, 0x54,
                                      0x64, 0x74, 0xa4, 0xac, 0x94, 0x28, 0x40};
  unsigned seed = 12345;
  const auto random = [&seed](unsigned below) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
  };
  std::vector<std::vector<Instruction>> programs(count);
  for (auto& program : programs) {
    const unsigned size = 1 + random(4);
    for (unsigned i = 0; i < size; ++i) {
      program.push_back({.code = kCodes[random(std::size(kCodes))],
                         .if_true = static_cast<std::uint8_t>(random(4)),
                         .if_false = static_cast<std::uint8_t>(random(4)),
                         .operand = random(70)});
    }
    program.push_back(give(kAllow));
  }
  return programs;
}

enum class Verdict : char { kNone, kRefused, kTaken };

// In a child: asks the kernel of one program after the other, until it takes one, which may forbid
// whatever comes next.
void ask_kernel(const std::vector<std::vector<Instruction>>& programs, std::size_t from,
                volatile Verdict* verdicts) {
  const rlimit none{};
  (void)::setrlimit(RLIMIT_CORE, &none);
  (void)::syscall(SYS_prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0);
  for (std::size_t i = from; i < programs.size(); ++i) {
    const struct {
      unsigned short length;
      const Instruction* instructions;
    } program{static_cast<unsigned short>(programs[i].size()), programs[i].data()};
    if (::syscall(SYS_seccomp, 1, 0, &program) == 0) {
      verdicts[i] = Verdict::kTaken;
      break;
    }
    verdicts[i] = Verdict::kRefused;
  }
  ::syscall(SYS_exit_group, 0);
  __builtin_trap();
}

TEST(SeccompBpfTest, TheCheckAgreesWithTheKernel) {
  const auto programs = random_programs(kSanitized ? 300 : 1000);
  void* const page =
      ::mmap(nullptr, programs.size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* const verdicts = static_cast<volatile Verdict*>(page);
  std::size_t taken = 0;
  for (std::size_t from = 0; from < programs.size();) {
    const pid_t pid = ::fork();
    if (pid == 0) ask_kernel(programs, from, verdicts);
    // The filter may end one thread alone, and a sanitizer has another: it is killed then.
    while (::waitpid(pid, nullptr, WNOHANG) == 0) {
      for (std::size_t i = from; i < programs.size() && verdicts[i] != Verdict::kNone; ++i) {
        if (verdicts[i] == Verdict::kTaken) ::kill(pid, SIGKILL);
      }
      std::this_thread::yield();
    }
    ASSERT_TRUE(verdicts[from] != Verdict::kNone);
    while (from < programs.size() && verdicts[from] != Verdict::kNone) {
      const auto& program = programs[from];
      const bool ours = detail::fault_of(program).empty();
      const bool kernels = verdicts[from] == Verdict::kTaken;
      // The kernel also refuses a load of a cell that nothing was stored in.
      const bool loads_cell = std::ranges::any_of(
          program, [](const Instruction& one) { return one.code == 0x60 || one.code == 0x61; });
      EXPECT_TRUE(ours == kernels || (ours && loads_cell)) << "program " << from;
      taken += kernels ? 1 : 0;
      ++from;
    }
  }
  ::munmap(page, programs.size());
  EXPECT_GT(taken, 20U);
}

class SeccompTest : public ChildTest {
 protected:
  void SetUp() override {
    const auto filter = SeccompFilter::Builder(SeccompAction::allow()).build();
    if (!filter && filter.error().code == Errc::kNotSupported) {
      GTEST_SKIP() << to_string(filter.error());
    }
    ChildTest::SetUp();
  }
  void TearDown() override {
    if (!IsSkipped()) ChildTest::TearDown();
  }
};

TEST_F(SeccompTest, TheFirstRuleThatIsWrongIsNamed) {
  const auto step = [](const SeccompFilter::Builder& builder) { return step_of(builder.build()); };
  const SeccompFilter::Builder allows(SeccompAction::allow());
  const auto with = [&](std::string_view call, SeccompAction action,
                        std::initializer_list<SeccompArgument> conditions = {}) {
    return SeccompFilter::Builder(allows)
        .rule("getpid", SeccompAction::error(EPERM))
        .rule(call, action, conditions);
  };
  EXPECT_EQ(step(with("no_such", SeccompAction::trap())),
            "seccomp rule 2: no_such: no such system call here");
  EXPECT_EQ(step(with("socketcall", SeccompAction::trap())),
            "seccomp rule 2: socketcall: no such system call here");
  EXPECT_EQ(step(with("kill", SeccompAction::error(5000))),
            "seccomp rule 2: kill: an errno beyond 4095");
  EXPECT_EQ(step(with("kill", SeccompAction::allow())),
            "seccomp rule 2: kill: its action is what happens anyway");
  EXPECT_EQ(step(with("kill", SeccompAction::trap(), {{.index = 6}})),
            "seccomp rule 2: kill: argument 6");
  EXPECT_EQ(step(with("execve", SeccompAction::kill_process())),
            "seccomp filter: forbids its own execve (rule 2)");
  EXPECT_EQ(step(SeccompFilter::Builder(SeccompAction::kill_process())
                     .rule("read", SeccompAction::allow())),
            "seccomp filter: forbids its own execve (no rule is about it)");
  EXPECT_EQ(step(SeccompFilter::Builder(allows).architecture("no_such")),
            "seccomp architecture no_such");
}

TEST_F(SeccompTest, ACallIsRefusedOrEndsTheChild) {
  run([] {
    const auto refuses =
        expect_value(SeccompFilter::Builder(SeccompAction::allow())
                         .rules({"mkdir", "mkdirat"}, SeccompAction::error(ENOSPC))
                         .rule("kill", SeccompAction::error(EXDEV),
                               {{.index = 1, .compare = kEqual, .value = SIGUSR1}})
                         .rule("kill", SeccompAction::kill_process(),
                               {{.index = 1, .compare = kGreaterOrEqual, .value = 64}})
                         .build());
    const auto output = expect_value(shell("mkdir /tmp/never; kill -USR1 $$; kill -0 $$ && exit 9")
                                         .seccomp(refuses)
                                         .output(patiently()));
    EXPECT_EQ(output.status.code, 9);
    EXPECT_NE(output.standard_error.find("No space left"), std::string::npos)
        << output.standard_error;
    const auto ended = expect_value(shell("kill -64 $$; exit 0")
                                        .seccomp(refuses)
                                        .standard_error(Stdio::null())
                                        .run(patience()));
    EXPECT_EQ(ended.signal, SIGSYS);
    EXPECT_EQ(said(shell("grep -E 'Seccomp:|NoNewPrivs' /proc/self/status").seccomp(refuses)),
              "NoNewPrivs:\t1\nSeccomp:\t2\n");
  });
}

// It is loaded last: what it forbids was done before it.
TEST_F(SeccompTest, TheFilterMayForbidWhatTheStepsBeforeItNeed) {
  run([] {
    const auto filter =
        expect_value(SeccompFilter::Builder(SeccompAction::allow())
                         .rules({"setsid", "umask", "setrlimit", "dup3", "close_range",
                                 "rt_sigprocmask", "prctl", "seccomp", "chdir"},
                                SeccompAction::kill_process())
                         .build());
    const Command command = Command("/bin/true")
                                .seccomp(filter)
                                .new_session()
                                .umask(022)
                                .limit(Limit::kCoreBytes, 0, 0)
                                .working_directory("/");
    EXPECT_TRUE(expect_value(command.run(patience())).success());
    // Where the exec fails under a filter that forbids the exit as well, there is no hang.
    const auto no_exit = expect_value(SeccompFilter::Builder(SeccompAction::allow())
                                          .rule("exit_group", SeccompAction::error(EPERM))
                                          .build());
    EXPECT_EQ(step_of(Command("/bin/nothing").seccomp(no_exit).spawn()), "exec /bin/nothing");
  });
}

}  // namespace
}  // namespace rearm::test
