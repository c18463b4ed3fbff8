// See server_probe.h. Everything here is Linux's: /proc, perf_event_open, ptrace.

#include "server_probe.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <sstream>

namespace bench {
namespace {

std::string proc_path(pid_t pid, const std::string& name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

std::vector<pid_t> threads_of(pid_t pid) {
  std::vector<pid_t> threads;
  DIR* directory = opendir(proc_path(pid, "task").c_str());
  if (directory == nullptr) die_errno("the server (pid " + std::to_string(pid) + ") is gone");
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') threads.push_back(static_cast<pid_t>(std::stol(entry->d_name)));
  }
  closedir(directory);
  return threads;
}

// The number after "name:" in a /proc file of such lines; 0 if it is not there.
std::int64_t field_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1));
  }
  return 0;
}

std::int64_t read_tracepoint_id() {
  for (const char* root : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
    std::ifstream file(std::string(root) + "/events/raw_syscalls/sys_enter/id");
    std::int64_t id = 0;
    if (file >> id) return id;
  }
  return -1;
}

// Containers often come without tracefs. It is mounted for this process alone, so nothing of it
// stays behind.
std::int64_t tracepoint_id() {
  const std::int64_t id = read_tracepoint_id();
  if (id >= 0) return id;
  if (unshare(CLONE_NEWNS) != 0) return -1;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return -1;
  if (mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr) != 0) return -1;
  return read_tracepoint_id();
}

void ignore_signal(int) {}

}  // namespace

ServerProbe::ServerProbe(pid_t pid) : pid_(pid) {
  if (const int error = clock_getcpuclockid(pid, &cpu_clock_); error != 0) {
    die("no CPU clock for the server (pid " + std::to_string(pid) + "): " + std::strerror(error));
  }
}

std::int64_t ServerProbe::cpu_ns() const {
  timespec time{};
  if (clock_gettime(cpu_clock_, &time) != 0) die_errno("CPU clock of the server");
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::int64_t ServerProbe::context_switches() const {
  std::int64_t sum = 0;
  for (const pid_t thread : threads_of(pid_)) {
    const std::string path = proc_path(pid_, "task/" + std::to_string(thread) + "/status");
    sum += field_of(path, "voluntary_ctxt_switches") + field_of(path, "nonvoluntary_ctxt_switches");
  }
  return sum;
}

ResidentMemory ServerProbe::resident_memory() const {
  const std::string path = proc_path(pid_, "smaps_rollup");
  return {field_of(path, "Rss") * 1024, field_of(path, "Anonymous") * 1024};
}

bool PerfCounter::open_system_calls(pid_t pid) {
  const std::int64_t id = tracepoint_id();
  return id >= 0 && open(pid, PERF_TYPE_TRACEPOINT, static_cast<std::uint64_t>(id), false);
}

bool PerfCounter::open_user_instructions(pid_t pid) {
  return open(pid, PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, true);
}

bool PerfCounter::open(pid_t pid, std::uint32_t type, std::uint64_t config, bool user_only) {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = type;
  attributes.config = config;
  attributes.inherit = 1;  // threads made later are counted too
  attributes.exclude_kernel = user_only ? 1 : 0;
  attributes.exclude_hv = user_only ? 1 : 0;
  for (const pid_t thread : threads_of(pid)) {
    const auto fd = static_cast<int>(
        syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC));
    if (fd < 0) {
      fds_.clear();
      return false;
    }
    fds_.emplace_back(fd);
  }
  return true;
}

std::int64_t PerfCounter::count() const {
  std::int64_t sum = 0;
  for (const OwnedFd& fd : fds_) {
    std::int64_t value = 0;
    if (read(fd.get(), &value, sizeof value) != sizeof value) die_errno("reading a perf counter");
    sum += value;
  }
  return sum;
}

SyscallCounter::SyscallCounter(pid_t pid, const std::string& method) {
  if (method == "none") return;
  if ((method == "auto" || method == "perf") && perf_.open_system_calls(pid)) {
    method_ = "perf";
    return;
  }
  if ((method == "auto" || method == "ptrace") && open_ptrace(pid)) {
    method_ = "ptrace";
    return;
  }
  if (method != "auto") die("system calls cannot be counted by " + method + " here");
}

SyscallCounter::~SyscallCounter() {
  if (!tracer_.joinable()) return;
  tracer_stop_ = true;
  // The tracer may sit in waitpid: interrupt it until it has seen the flag. Its end detaches the
  // tracees, which run on.
  while (tracer_state_ == Tracer::kRunning) {
    pthread_kill(tracer_.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  tracer_.join();
}

std::int64_t SyscallCounter::count() const {
  return method_ == "ptrace" ? traced_.load() : perf_.count();
}

bool SyscallCounter::open_ptrace(pid_t pid) {
  struct sigaction action{};
  action.sa_handler = ignore_signal;  // without SA_RESTART: it ends a waitpid
  sigaction(SIGUSR1, &action, nullptr);
  tracer_ = std::thread([this, pid] { trace(pid); });
  while (tracer_state_ == Tracer::kStarting) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (tracer_state_ == Tracer::kRunning) return true;
  tracer_.join();
  return false;
}

void SyscallCounter::trace(pid_t pid) {
  constexpr long kTraceOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
  for (const pid_t thread : threads_of(pid)) {
    if (ptrace(PTRACE_SEIZE, thread, nullptr, kTraceOptions) != 0 ||
        ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0) {
      tracer_state_ = Tracer::kRefused;
      return;
    }
  }
  std::size_t stops_to_see = threads_of(pid).size();
  while (!tracer_stop_) {
    int status = 0;
    const pid_t thread = waitpid(-1, &status, __WALL);
    if (thread < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (!WIFSTOPPED(status)) continue;
    long signal_to_deliver = 0;
    const int stop = WSTOPSIG(status);
    if (stop == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) ++traced_;
    } else if ((status >> 16) == 0) {
      signal_to_deliver = stop;  // a signal on its way to the server
    }
    ptrace(PTRACE_SYSCALL, thread, nullptr, signal_to_deliver);
    // Counting starts when the last thread has stopped once and so will stop at its calls.
    if (stops_to_see > 0) --stops_to_see;
    if (stops_to_see == 0) tracer_state_ = Tracer::kRunning;
  }
  tracer_state_ = Tracer::kRefused;  // the destructor stops knocking
}

}  // namespace bench
