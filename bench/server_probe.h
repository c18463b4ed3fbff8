// A server seen from outside, through the kernel's accounting of its process: CPU time, context
// switches, resident memory, and system calls. The server needs to know nothing of it, so every
// subject is measured by the same ruler.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "support.h"

namespace bench {

struct ResidentMemory {
  std::int64_t rss_bytes = 0;
  std::int64_t anonymous_bytes = 0;  // without code and other file pages
};

class ServerProbe {
 public:
  explicit ServerProbe(pid_t pid);

  // CPU time of all threads, also those that have ended. Exact while the process sleeps; a running
  // thread may be a tick behind.
  [[nodiscard]] std::int64_t cpu_ns() const;
  // Voluntary and involuntary, of the threads alive now.
  [[nodiscard]] std::int64_t context_switches() const;
  [[nodiscard]] ResidentMemory resident_memory() const;

 private:
  pid_t pid_;
  clockid_t cpu_clock_{};
};

// A counter of the kernel's (perf_event_open) over a process's threads, present and future.
class PerfCounter {
 public:
  // Each says whether this system lets it count; a counter that was refused stays at 0.
  [[nodiscard]] bool open_system_calls(pid_t pid);
  // Instructions executed in user mode, by the processor's own counter, which virtual machines
  // often hide. Little disturbs it, so it tells what the server itself does when times are noisy.
  [[nodiscard]] bool open_user_instructions(pid_t pid);

  [[nodiscard]] std::int64_t count() const;

 private:
  bool open(pid_t pid, std::uint32_t type, std::uint64_t config, bool user_only);

  std::vector<OwnedFd> fds_;  // one for each thread that was there
};

// Counts every system call of a process's threads, present and future, while it lives.
//
// perf: the tracepoint raw_syscalls:sys_enter, counted in the kernel; needs tracefs and the right
// to use it (root). ptrace: stops the server at every call; as exact, and slow, so the timing of
// such a run means nothing. Both count only what happens after the constructor.
class SyscallCounter {
 public:
  // `method` is auto (perf, else ptrace, else none), perf, ptrace or none.
  SyscallCounter(pid_t pid, const std::string& method);
  ~SyscallCounter();
  SyscallCounter(const SyscallCounter&) = delete;
  SyscallCounter& operator=(const SyscallCounter&) = delete;

  [[nodiscard]] const std::string& method() const { return method_; }
  [[nodiscard]] std::int64_t count() const;

 private:
  bool open_ptrace(pid_t pid);
  void trace(pid_t pid);

  std::string method_ = "none";
  PerfCounter perf_;

  // Only the thread that seized a tracee may drive it, so tracing has a thread of its own.
  enum class Tracer { kStarting, kRunning, kRefused };
  std::thread tracer_;
  std::atomic<Tracer> tracer_state_{Tracer::kStarting};
  std::atomic<bool> tracer_stop_{false};
  std::atomic<std::int64_t> traced_{0};
};

}  // namespace bench
