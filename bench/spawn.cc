// bench_spawn: what a child costs, beside posix_spawn(), from a small process and a large one; and
// what a user namespace costs, beside the bare system calls. Rounds are interleaved, and medians
// are compared. Linux.
//
//   bench_spawn [ROUNDS] [RESIDENT_MIB] [PROGRAM]     200, 1024 and ./bench_true by default
//
// A static PROGRAM, because a dynamic one's loader costs more than all that is measured.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "rearm/rearm.h"

extern char** environ;

namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "bench_spawn: %s\n", what.c_str());
  std::exit(1);
}

template <class F>
double microseconds(F&& function) {
  const auto start = Clock::now();
  function();
  return Microseconds(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<long>(values.size() / 2));
  return values[values.size() / 2];
}

struct Rivals {
  std::vector<double> ours;
  std::vector<double> theirs;

  void print(const char* name, const char* rival) const {
    std::printf("%-34s %8.1f us   %-28s %8.1f us   ratio %.3f\n", name, median(ours), rival,
                median(theirs), median(ours) / median(theirs));
  }
};

void spawn_ours(const rearm::Command& command) {
  auto child = command.spawn();
  if (!child) fail(rearm::to_string(child.error()));
  const auto status = child->wait();
  if (!status || !status->success()) fail("the child failed");
}

void spawn_theirs(const char* program) {
  char* const arguments[] = {const_cast<char*>(program), nullptr};
  pid_t pid = -1;
  if (::posix_spawn(&pid, program, nullptr, nullptr, arguments, environ) != 0) fail("posix_spawn");
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid || status != 0) fail("waitpid");
}

Rivals race(const rearm::Command& command, const char* program, int rounds) {
  Rivals rivals;
  for (int i = 0; i < rounds; ++i) {
    rivals.ours.push_back(microseconds([&] { spawn_ours(command); }));
    rivals.theirs.push_back(microseconds([&] { spawn_theirs(program); }));
  }
  return rivals;
}

const rearm::IdMap kMap = {{.inside = 0, .outside = 0, .count = 1}};

void namespace_ours() {
  const auto made = rearm::UserNamespace::create(kMap, kMap);
  if (!made) fail(rearm::to_string(made.error()));
}

// A clone, the three files, the kill: in a copy of the memory, as a program without assembly would
// write it.
void namespace_bare() {
  const long pid = ::syscall(SYS_clone, CLONE_NEWUSER, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) {
    for (;;) ::pause();
  }
  if (pid < 0) fail("clone");
  const std::string directory = "/proc/" + std::to_string(pid) + "/";
  const int fd = ::open((directory + "ns/user").c_str(), O_RDONLY | O_CLOEXEC);
  for (const char* name : {"uid_map", "gid_map"}) {
    const int map = ::open((directory + name).c_str(), O_WRONLY | O_CLOEXEC);
    if (::write(map, "0 0 1\n", 6) != 6) fail(name);
    ::close(map);
  }
  ::kill(static_cast<pid_t>(pid), SIGKILL);
  ::waitpid(static_cast<pid_t>(pid), nullptr, __WALL);
  ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  const std::size_t mib = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1024;
  const char* const program = argc > 3 ? argv[3] : "./bench_true";
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&] {
    const rearm::Command command(program);
    (void)race(command, program, rounds / 10 + 1);  // Warms up.
    race(command, program, rounds).print("spawn + wait, small", "posix_spawn + waitpid");
    rearm::Command sandboxed(program);
    sandboxed.user_namespace(kMap, kMap).new_namespaces({rearm::Namespace::kNet});
    std::printf("%-34s %8.1f us\n", "the same in user and net namespaces",
                median(race(sandboxed, program, rounds / 4 + 1).ours));

    Rivals namespaces;
    for (int i = 0; i < rounds; ++i) {
      namespaces.ours.push_back(microseconds(namespace_ours));
      namespaces.theirs.push_back(microseconds(namespace_bare));
    }
    namespaces.print("UserNamespace::create, small", "bare calls in a copy");

    const std::size_t bytes = mib << 20;
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("no memory to be resident");
    (void)::madvise(memory, bytes, MADV_NOHUGEPAGE);
    std::memset(memory, 1, bytes);
    std::printf("with %zu MiB resident:\n", mib);
    race(command, program, rounds).print("spawn + wait", "posix_spawn + waitpid");
    Rivals large;
    for (int i = 0; i < rounds / 10 + 1; ++i) {
      large.ours.push_back(microseconds(namespace_ours));
      large.theirs.push_back(microseconds(namespace_bare));
    }
    large.print("UserNamespace::create", "bare calls in a copy");
    ::munmap(memory, bytes);
  });
}
