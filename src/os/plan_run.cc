// What runs in the child, and the clone itself: see plan.h. Nothing here may call anything outside
// of this file (tests/os/child_calls_nothing.py looks), write to static memory, or be instrumented.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "os/plan.h"

#if defined(__clang__)
#define REARM_IN_CHILD [[gnu::noinline, clang::disable_sanitizer_instrumentation]]
#else
#define REARM_IN_CHILD [[gnu::noinline, gnu::no_sanitize("address", "thread", "undefined")]]
#endif

namespace rearm::detail {
namespace {

// Newer than the headers of some C libraries; the same on all architectures.
constexpr long kPidfdOpen = 434;
constexpr long kClone3 = 435;
constexpr long kCloseRange = 436;
constexpr unsigned kCloseRangeCloexec = 4;
constexpr std::uint64_t kClonePidfd = 0x1000;
constexpr std::uint64_t kCloneClearSighand = 0x100000000;
constexpr std::uint64_t kCloneIntoCgroup = 0x200000000;

// The kernel's; the C library's differs.
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  std::uint64_t mask;
};
constexpr long kSigsetBytes = 8;
constexpr int kSignals = 64;

struct CloneArguments {
  std::uint64_t flags;
  std::uint64_t pidfd;
  std::uint64_t child_tid;
  std::uint64_t parent_tid;
  std::uint64_t exit_signal;
  std::uint64_t stack;
  std::uint64_t stack_size;
  std::uint64_t tls;
  std::uint64_t set_tid;
  std::uint64_t set_tid_size;
  std::uint64_t cgroup;
};

using ChildMain = void (*)(void*);

#if defined(__x86_64__)

REARM_IN_CHILD long raw(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

// A clone whose child has a stack of its own and calls `main(plan)`. What it pushes there is not in
// the parent's frame, so that the parent finds its own as it was.
REARM_IN_CHILD long raw_clone(long number, long a, long b, long c, long d, long e, ChildMain main,
                              void* plan) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register ChildMain r12 asm("r12") = main;
  register void* r13 asm("r13") = plan;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r12), "r"(r13)
      : "rcx", "r11", "memory", "cc");
  return result;
}

#elif defined(__aarch64__)

REARM_IN_CHILD long raw(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
}

REARM_IN_CHILD long raw_clone(long number, long a, long b, long c, long d, long e, ChildMain main,
                              void* plan) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register ChildMain x9 asm("x9") = main;
  register void* x10 asm("x10") = plan;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, #0\n\t"
      "mov x0, x10\n\t"
      "blr x9\n\t"
      "brk #1\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x9), "r"(x10)
      : "memory", "cc");
  return x0;
}

#else
#define REARM_NO_RAW_CALLS 1

// No system calls of ours here: spawn() says so before it comes to this.
long raw(long, long, long, long, long, long, long) { return -ENOSYS; }
long raw_clone(long, long, long, long, long, long, ChildMain, void*) { return -ENOSYS; }

#endif

// --- The child. ---

// A system call of the plan: counted, and failed or answered by a kill where a test wants it.
REARM_IN_CHILD long call(Plan& plan, long number, long a = 0, long b = 0, long c = 0, long d = 0,
                         long e = 0, long f = 0) {
  const unsigned n = *plan.calls;
  *plan.calls = n + 1;
  if (n == plan.injection.at) {
    if (plan.injection.error != 0) return -plan.injection.error;
    // To its thread, which is all there is of it: a pid of its own namespace may be 1, whom
    // SIGKILL from inside does not reach, so it leaves by an exit that looks the same.
    raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0, 0);
    raw(SYS_exit_group, 128 + SIGKILL, 0, 0, 0, 0, 0);
  }
  return raw(number, a, b, c, d, e, f);
}

REARM_IN_CHILD long pointer(const void* p) { return reinterpret_cast<long>(p); }

[[noreturn]] REARM_IN_CHILD void fail(Plan& plan, unsigned op, long error) {
  plan.report->op = op;
  plan.report->error = static_cast<int>(-error);
  plan.report->state = Report::kFailed;
  raw(SYS_exit_group, 127, 0, 0, 0, 0, 0);
  __builtin_trap();  // A filter has forbidden it.
}

REARM_IN_CHILD long write_file(Plan& plan, int directory, const char* path, const char* text,
                               long bytes) {
  const long fd = call(plan, SYS_openat, directory, pointer(path), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  const long written = call(plan, SYS_write, fd, pointer(text), bytes);
  raw(SYS_close, fd, 0, 0, 0, 0, 0);
  return written < 0 ? written : 0;
}

REARM_IN_CHILD bool is_kept(const Plan& plan, long fd) {
  for (unsigned i = 0; i < plan.kept_count; ++i) {
    if (plan.kept[i] == fd) return true;
  }
  return false;
}

REARM_IN_CHILD void mark_unless_kept(Plan& plan, long fd) {
  if (!is_kept(plan, fd)) raw(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC, 0, 0, 0);
}

// Without /proc: every number that could be open. The limit may have been lowered below one that
// is; so may it be on any system, where nothing tells.
REARM_IN_CHILD long close_others_by_number(Plan& plan) {
  struct {
    std::uint64_t soft;
    std::uint64_t hard;
  } limit{};
  const long result = call(plan, SYS_prlimit64, 0, /*RLIMIT_NOFILE*/ 7, 0, pointer(&limit));
  if (result < 0) return result;
  constexpr std::uint64_t kMost = 1 << 20;
  const std::uint64_t end = limit.hard < kMost ? limit.hard : kMost;
  for (std::uint64_t fd = 0; fd < end; ++fd) mark_unless_kept(plan, static_cast<long>(fd));
  return 0;
}

REARM_IN_CHILD long close_others_by_list(Plan& plan) {
  const long directory = call(plan, SYS_openat, AT_FDCWD, pointer("/proc/self/fd"),
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return close_others_by_number(plan);
  // linux_dirent64: ino and off (8 bytes each), reclen (2), type (1), name.
  alignas(8) char entries[1024] = {};
  for (;;) {
    const long bytes = call(plan, SYS_getdents64, directory, pointer(entries), sizeof(entries));
    if (bytes < 0) return bytes;
    if (bytes == 0) break;
    for (long at = 0; at < bytes;) {
      const char* const entry = entries + at;
      long fd = 0;
      bool is_number = entry[19] != 0;
      for (const char* digit = entry + 19; *digit != 0; ++digit) {
        if (*digit < '0' || *digit > '9') is_number = false;
        fd = fd * 10 + (*digit - '0');
      }
      if (is_number) mark_unless_kept(plan, fd);
      at += static_cast<unsigned char>(entry[16]) | (static_cast<unsigned char>(entry[17]) << 8);
    }
  }
  raw(SYS_close, directory, 0, 0, 0, 0, 0);
  return 0;
}

REARM_IN_CHILD long close_others(Plan& plan) {
  unsigned from = 0;
  for (unsigned i = 0; i <= plan.kept_count; ++i) {
    const unsigned end = i < plan.kept_count ? static_cast<unsigned>(plan.kept[i]) : ~0U;
    if (end > from) {
      const unsigned last = i < plan.kept_count ? end - 1 : ~0U;
      const long result = call(plan, kCloseRange, from, last, kCloseRangeCloexec);
      // EINVAL: Linux 5.9 and 5.10 have the call without the flag. EPERM: a container's filter.
      if (result == -ENOSYS || result == -EINVAL || result == -EPERM) {
        return close_others_by_list(plan);
      }
      if (result < 0) return result;
    }
    from = end + 1;
  }
  return 0;
}

REARM_IN_CHILD long reset_signals(Plan& plan, bool ignored_too) {
  const bool all = ignored_too || !plan.handlers_are_reset;
  for (int signal = all ? 1 : SIGPIPE; signal <= (all ? kSignals : SIGPIPE); ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    KernelSigaction action{};
    long result = raw(SYS_rt_sigaction, signal, 0, pointer(&action), kSigsetBytes, 0, 0);
    if (result < 0) return result;
    if (action.handler == SIG_DFL) continue;
    if (action.handler == SIG_IGN && !ignored_too && signal != SIGPIPE) continue;
    action.handler = SIG_DFL;
    action.flags = 0;
    action.restorer = nullptr;
    action.mask = 0;
    result = call(plan, SYS_rt_sigaction, signal, pointer(&action), 0, kSigsetBytes);
    if (result < 0) return result;
  }
  return 0;
}

REARM_IN_CHILD long await(Plan& plan, int fd) {
  char byte = 0;
  long result = 0;
  do {
    result = call(plan, SYS_read, fd, pointer(&byte), 1);
  } while (result == -EINTR);
  // The parent has given it up, or is gone.
  if (result == 0) raw(SYS_exit_group, 127, 0, 0, 0, 0, 0);
  return result;
}

// As execvp() goes through a PATH; without its guess that a file of no known format is a script.
REARM_IN_CHILD long execute(Plan& plan) {
  long kept = -ENOENT;
  for (const char* const* program = plan.programs; *program != nullptr; ++program) {
    const long result =
        call(plan, SYS_execve, pointer(*program), pointer(static_cast<const void*>(plan.arguments)),
             pointer(static_cast<const void*>(plan.environment)));
    if (result != -EACCES && result != -ENOENT && result != -ENOTDIR) return result;
    // One that may not be executed tells more than those that are not there.
    if (result == -EACCES || kept == -ENOENT) kept = result;
  }
  return kept;
}

REARM_IN_CHILD long carry_out(Plan& plan, const Op& op) {
  const long* const a = op.arguments;
  switch (op.kind) {
    case Op::Kind::kCall: return call(plan, op.number, a[0], a[1], a[2], a[3], a[4], a[5]);
    case Op::Kind::kJoinCgroup:
      return plan.in_cgroup ? 0 : write_file(plan, static_cast<int>(a[0]), "cgroup.procs", "0", 1);
    case Op::Kind::kAwait: return await(plan, static_cast<int>(a[0]));
    case Op::Kind::kWriteFile:
      return write_file(plan, AT_FDCWD, reinterpret_cast<const char*>(a[0]),
                        reinterpret_cast<const char*>(a[1]), a[2]);
    case Op::Kind::kCloseOthers: return close_others(plan);
    case Op::Kind::kResetSignals: return reset_signals(plan, a[0] != 0);
    case Op::Kind::kExec: return execute(plan);
  }
  return -ENOSYS;
}

REARM_IN_CHILD void child_main(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  for (int i = 0; i < 2; ++i) {
    if (plan.unused_fds[i] >= 0) raw(SYS_close, plan.unused_fds[i], 0, 0, 0, 0, 0);
  }
  for (unsigned i = 0; i < plan.op_count; ++i) {
    plan.report->op = i;
    plan.report->state = Report::kAtStep;
    const long result = carry_out(plan, plan.ops[i]);
    if (result < 0 && result != -plan.ops[i].ignored_error) fail(plan, i, result);
  }
  raw(SYS_exit_group, 126, 0, 0, 0, 0, 0);  // A plan that ends in no exec.
  __builtin_trap();
}

}  // namespace

// --- The parent. ---

REARM_IN_CHILD CloneRefusals& clone_refusals() noexcept {
  static constinit CloneRefusals refusals;
  return refusals;
}

namespace {

// By clone3(), which alone knows cgroups and clears handlers by itself.
REARM_IN_CHILD long try_clone3(Plan& plan, const CloneOptions& options, std::uint64_t flags,
                               void* stack, std::size_t stack_bytes, int* pidfd) {
  plan.handlers_are_reset = true;
  if (clone_refusals().clone3_error != 0) return -clone_refusals().clone3_error;
  CloneArguments arguments{};
  arguments.flags = flags | kCloneClearSighand;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(pidfd);
  arguments.stack = reinterpret_cast<std::uint64_t>(stack);
  arguments.stack_size = stack_bytes;
  if (options.cgroup >= 0) {
    arguments.flags |= kCloneIntoCgroup;
    arguments.cgroup = static_cast<std::uint64_t>(options.cgroup);
    plan.in_cgroup = true;
    const long pid = raw_clone(kClone3, reinterpret_cast<long>(&arguments), sizeof(arguments), 0, 0,
                               0, child_main, &plan);
    if (pid >= 0) return pid;
    // A hierarchy of version 1, or a kernel before 5.7: the child joins it by itself. Whatever else
    // it is, that says it again.
    plan.in_cgroup = false;
    arguments.flags &= ~kCloneIntoCgroup;
    arguments.cgroup = 0;
  }
  return raw_clone(kClone3, reinterpret_cast<long>(&arguments), sizeof(arguments), 0, 0, 0,
                   child_main, &plan);
}

}  // namespace

REARM_IN_CHILD Cloned clone_child(Plan& plan, const CloneOptions& options, void* stack,
                                  std::size_t stack_bytes) noexcept {
  constexpr std::uint64_t kCloneVm = 0x100;
  constexpr std::uint64_t kCloneFiles = 0x400;
  constexpr std::uint64_t kCloneVfork = 0x4000;
  std::uint64_t flags = options.namespaces | kClonePidfd;
  if (options.shares_memory) flags |= kCloneVm;
  if (options.shares_files) flags |= kCloneFiles;
  if (options.waits) flags |= kCloneVfork;

  // By the kernel's own set: the C library leaves out the signals that it uses itself, whose
  // handlers must not run in the child either.
  const std::uint64_t all = ~std::uint64_t{0};
  std::uint64_t before = 0;
  raw(SYS_rt_sigprocmask, SIG_SETMASK, pointer(&all), pointer(&before), kSigsetBytes, 0, 0);
  Cloned cloned;
  cloned.pid = try_clone3(plan, options, flags, stack, stack_bytes, &cloned.pidfd);
  // Not there; refused by a container's filter; without one of the flags.
  if (cloned.pid == -ENOSYS || cloned.pid == -EPERM || cloned.pid == -EINVAL ||
      cloned.pid == -E2BIG) {
    cloned.pidfd = -1;
    plan.handlers_are_reset = false;
    cloned.pid = raw_clone(SYS_clone, static_cast<long>(flags),
                           reinterpret_cast<long>(static_cast<char*>(stack) + stack_bytes),
                           reinterpret_cast<long>(&cloned.pidfd), 0, 0, child_main, &plan);
  }
  raw(SYS_rt_sigprocmask, SIG_SETMASK, pointer(&before), 0, kSigsetBytes, 0, 0);

  if (cloned.pid < 0) cloned.pidfd = -1;
  if (cloned.pid > 0 && clone_refusals().no_pidfd && cloned.pidfd >= 0) {
    raw(SYS_close, cloned.pidfd, 0, 0, 0, 0, 0);
    cloned.pidfd = -1;
  } else if (cloned.pid > 0 && cloned.pidfd < 0) {
    // A kernel before 5.2 knows no CLONE_PIDFD. Nobody but us can reap it, so it is still its pid.
    const long pidfd = raw(kPidfdOpen, cloned.pid, 0, 0, 0, 0, 0);
    cloned.pidfd = pidfd >= 0 ? static_cast<int>(pidfd) : -1;
  }
  return cloned;
}

}  // namespace rearm::detail
