// Plan: what a child does between its clone and its exec, as a list of raw system calls. Linux.
//
// Why a list. A child of a process with threads may call nothing that takes a lock, allocates or
// writes errno, and one that shares its parent's memory writes what the parent will see. A compiler
// cannot check that of a function; of a list there is nothing to check but one small interpreter,
// plan_run.cc, and a test can make any call of it fail.
//
// Invariants. The child changes nothing of the parent's memory but Plan::report, Plan::calls and
// the stack that it was given. The parent frees nothing that the plan points to before the child
// has left its memory: by then clone_child() has returned (CloneOptions::waits), or every copy of
// the close-on-exec end of a pipe is closed (launch.cc).
//
// The interpreter's file is compiled without sanitizers: their run time belongs to the parent's
// threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rearm::detail {

struct Op {
  enum class Kind : std::uint8_t {
    kCall,          // arguments as they are
    kJoinCgroup,    // only if the kernel has not done it: fd of the directory
    kAwait,         // reads a byte from the fd: what before_exec() waits for
    kWriteFile,     // path, text, bytes
    kCloseOthers,   // marks every fd close-on-exec that is not in Plan::kept
    kResetSignals,  // handlers, and ignored signals if arguments[0]
    kExec,
  };

  Kind kind = Kind::kCall;
  // An errno that is as good as success: what is to be had is there, or nowhere.
  int ignored_error = 0;
  // For the error, in the parent's memory: the step, and what it was done to.
  const char* step = nullptr;
  const char* object = nullptr;
  int object_number = -1;

  long number = 0;
  long arguments[6] = {};
};

// What the child leaves for its parent, in memory that they share.
struct Report {
  enum State : int { kNotBegun = 0, kAtStep, kFailed };

  int state = kNotBegun;
  unsigned op = 0;
  int error = 0;
};

// For tests: what happens instead of the child's n-th system call, counted from 0.
struct Injection {
  unsigned at = ~0U;
  int error = 0;  // It fails with this; 0: the child is killed.
};

struct Plan {
  const Op* ops = nullptr;
  unsigned op_count = 0;

  const char* const* programs = nullptr;  // Tried in this order, ended by nullptr.
  const char* const* arguments = nullptr;
  const char* const* environment = nullptr;

  const int* kept = nullptr;  // In rising order.
  unsigned kept_count = 0;

  int unused_fds[2] = {-1, -1};     // The parent's ends, which the child closes first.
  bool in_cgroup = false;           // The kernel has put the child there.
  bool handlers_are_reset = false;  // The kernel has done it.

  volatile Report* report = nullptr;
  volatile unsigned* calls = nullptr;
  Injection injection;
};

// How a child is made.
struct CloneOptions {
  std::uint64_t namespaces = 0;  // CLONE_NEW…
  int cgroup = -1;
  bool shares_memory = true;
  // For a child that opens and closes nothing, and need not keep open what the parent closes.
  bool shares_files = false;
  // The calling thread sleeps until the child has left its memory. REQUIRES: shares_memory.
  bool waits = true;
};

// Its pid, or the errno as a negative number; the pidfd is -1 where the kernel has none.
struct Cloned {
  long pid = -1;
  int pidfd = -1;
};

// For tests of the second best: calls of the parent that are taken to fail.
struct CloneRefusals {
  int clone3_error = 0;
  bool no_pidfd = false;
};
[[nodiscard]] CloneRefusals& clone_refusals() noexcept;

// Starts a child on `stack` that carries out the plan. All signals are blocked in the parent around
// it and stay blocked in the child until the plan unblocks them. Its end raises no SIGCHLD until it
// has executed a program.
[[nodiscard]] Cloned clone_child(Plan& plan, const CloneOptions& options, void* stack,
                                 std::size_t stack_bytes) noexcept;

}  // namespace rearm::detail
