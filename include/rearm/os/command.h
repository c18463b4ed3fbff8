// Command: a program to be run as a child process, and everything that it is to get.
//
//   auto done = rearm::Command("/usr/bin/cc", {"-c", "main.c"}).output({.deadline = after(10s)});
//   if (done && done->status.success()) use(done->standard_output);
//
// What a child gets is what is said here, and nothing else: of the descriptors 0, 1, 2 and those of
// pass_fd(), whatever other threads open meanwhile; no signal blocked, no handler, and ignored
// signals as exec leaves them, but SIGPIPE, which is back at its default. Its environment, working
// directory, umask, limits and credentials are the caller's where nothing else is said.
//
// How, on Linux. The parent turns the command into a list of raw system calls. A child that shares
// the parent's memory (CLONE_VM | CLONE_VFORK: the cost does not grow with the parent's memory)
// makes them one after the other and ends in execve(). It runs nothing else: no allocation, no
// lock, no libc, no errno. The first call that fails is the error, by name. Two kinds of command
// are not run in shared memory but in a copy of it, as fork() makes it: those that change user or
// group IDs, since a process of another user must not share the parent's memory; and nothing else.
//
// The steps, in this order: namespaces that are made; the cgroup; namespaces that are entered; what
// before_exec() does in the parent; host name; mounts and root; working directory; descriptors;
// session, process group, terminal; affinity, nice, umask, limits; securebits, bounding set, groups
// and user, capabilities; parent-death signal; signals; no_new_privs; the seccomp filter; exec.
//
// What is Linux' alone, all from umask() on, makes spawn() fail with kNotSupported on other
// systems, naming the option; there children are started by posix_spawn().
//
// Thread safety: a value, one thread's at a time. A Command can be spawned again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rearm/deadline.h"
#include "rearm/os/capability.h"
#include "rearm/os/child.h"
#include "rearm/os/id_map.h"
#include "rearm/os/seccomp_filter.h"
#include "rearm/os/step_error.h"

namespace rearm {

class Runtime;

namespace detail {
struct CommandSpec;
}  // namespace detail

// Where a standard stream of the child leads.
class Stdio {
 public:
  enum class Kind : std::uint8_t { kInherit, kNull, kPipe, kFile, kFd, kSameAsOutput };
  enum class Open : std::uint8_t { kRead, kTruncate, kAppend };

  // The parent's stream of the same number, or /dev/null if the parent has none: it is
  // closed, or close-on-exec.
  [[nodiscard]] static Stdio inherit() { return Stdio(Kind::kInherit); }
  [[nodiscard]] static Stdio null() { return Stdio(Kind::kNull); }
  // A pipe, whose other end is a Stream of the Child.
  [[nodiscard]] static Stdio pipe() { return Stdio(Kind::kPipe); }
  // Opened by the parent in spawn(), which a FIFO without a reader does not block: ENXIO. What is
  // created has the mode 0666 without the parent's umask.
  [[nodiscard]] static Stdio file(std::string path, Open how) {
    Stdio stream(Kind::kFile);
    stream.path_ = std::move(path);
    stream.open_ = how;
    return stream;
  }
  // A descriptor of the parent's, which must be open until spawn() returns and stays the caller's.
  [[nodiscard]] static Stdio fd(int number) {
    Stdio stream(Kind::kFd);
    stream.fd_ = number;
    return stream;
  }
  // For standard error: where standard output leads ("2>&1").
  [[nodiscard]] static Stdio same_as_output() { return Stdio(Kind::kSameAsOutput); }

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] Open how() const noexcept { return open_; }
  [[nodiscard]] int number() const noexcept { return fd_; }

 private:
  explicit Stdio(Kind kind) : kind_(kind) {}

  Kind kind_;
  Open open_ = Open::kRead;
  int fd_ = -1;
  std::string path_;
};

// The resources that setrlimit(2) limits.
enum class Limit : std::uint8_t {
  kCpuSeconds,
  kFileBytes,
  kDataBytes,
  kStackBytes,
  kCoreBytes,
  kAddressSpaceBytes,
  kOpenFiles,
  kProcesses,
  kLockedBytes,
};

enum class Namespace : std::uint8_t { kUser, kMount, kPid, kNet, kIpc, kUts, kCgroup, kTime };

// One mount of a child in a mount namespace of its own. Targets are below the new root, if one is
// given, and must exist.
struct Mount {
  enum class Kind : std::uint8_t { kBind, kProc, kTmpfs };

  Kind kind = Kind::kBind;
  std::string source = {};  // Of kBind; a path of the parent's.
  std::string target = {};
  bool read_only = false;
  bool recursive = true;     // Of kBind: with what is mounted below it.
  std::string options = {};  // Of kTmpfs: "size=1m,mode=755".

  [[nodiscard]] static Mount bind(std::string source, std::string target, bool read_only = false) {
    return {.source = std::move(source), .target = std::move(target), .read_only = read_only};
  }
  [[nodiscard]] static Mount proc(std::string target) {
    return {.kind = Kind::kProc, .target = std::move(target)};
  }
  [[nodiscard]] static Mount tmpfs(std::string target, std::string options = {}) {
    return {.kind = Kind::kTmpfs, .target = std::move(target), .options = std::move(options)};
  }
};

// A child that is there, but has not made its steps yet.
struct Newborn {
  int pid;
  int pidfd;  // -1 where there is none.
};

struct OutputOptions {
  // Of the whole: starting, reading, ending. Passed: the child is killed, and kTimedOut.
  Deadline deadline = Deadline::never();
  // Of each of the two streams. More: the child is killed, and EMSGSIZE.
  std::size_t max_bytes = std::size_t{16} << 20;
  // Written to standard input, which is then closed. A child that does not read it loses nothing.
  std::string_view input = {};
};

struct Output {
  ExitStatus status;
  std::string standard_output;
  std::string standard_error;
};

class Command {
 public:
  // `program`: a path, or a name without '/' that is looked for in the PATH that the child gets.
  // The argument 0 is the same, unless argument_zero() says otherwise.
  explicit Command(std::string program, std::vector<std::string> arguments = {});
  Command(const Command& other);
  Command(Command&& other) noexcept;
  Command& operator=(const Command& other);
  Command& operator=(Command&& other) noexcept;
  ~Command();

  Command& argument(std::string argument);
  Command& argument_zero(std::string argument);

  // The environment is the parent's at the time of spawn(), changed by these in their order.
  Command& clear_environment();
  Command& environment(std::string name, std::string value);
  Command& without_environment(std::string name);

  // From the child's root, if one is given. A relative path begins at the parent's working
  // directory, or at the new root.
  Command& working_directory(std::string path);

  Command& standard_input(Stdio stream);
  Command& standard_output(Stdio stream);
  Command& standard_error(Stdio stream);

  // The child has the parent's descriptor `fd` as `number`, whatever else has that number in the
  // parent: numbers may overlap and change places. It must be open until spawn() returns, and stays
  // the caller's. Errors of spawn(): kInvalidArgument (a negative number; one that is given twice;
  // 0 to 2, which the streams have); EBADF.
  Command& pass_fd(int fd, int number);

  // 0: a group of its own, with the child's pid.
  Command& process_group(int group);
  // A session of its own, and so a group of its own.
  Command& new_session();

  // ---- Linux from here on. ----

  Command& umask(unsigned mode);

  // The child's descriptor with this number (0: standard input) becomes its controlling terminal.
  // Needs new_session().
  Command& controlling_terminal(int number);

  Command& limit(Limit resource, std::uint64_t soft, std::uint64_t hard);
  // The child's nice value, -20 to 19; not added to the parent's.
  Command& nice(int value);
  Command& cpus(std::vector<unsigned> numbers);

  // Signals that the program finds ignored; all others it finds at their default if `default_all`.
  Command& signals(std::vector<int> ignored, bool default_all = true);

  // A child in this cgroup from its first moment on: `fd` is its directory's, which must be open
  // until spawn() returns. On kernels without CLONE_INTO_CGROUP and in hierarchies of version 1 the
  // child moves itself there, as its first step.
  Command& cgroup(int fd);

  // IDs inside the user namespace that the child is in. Without groups(), setting a user or group
  // changes no supplementary group: say groups({}) to drop them.
  Command& user(std::uint32_t uid);
  Command& group(std::uint32_t gid);
  Command& groups(std::vector<std::uint32_t> gids);

  Command& capabilities(const Capabilities& sets);
  Command& securebits(unsigned bits);
  // The signal that the child gets when the thread that started it ends, which may be before the
  // process does: use it where the runtime outlives the child.
  Command& parent_death_signal(int signal);
  Command& no_new_privileges();

  // Namespaces that are made for the child. A user namespace with maps is its own call. kTime is
  // entered by the exec (Linux 6.1 and later).
  Command& new_namespaces(std::initializer_list<Namespace> kinds);
  Command& user_namespace(IdMap uid_map, IdMap gid_map);
  // One that is there already, by a descriptor that must be open until spawn() returns. Entered in
  // the order of the calls; a pid namespace takes the child's children only.
  Command& enter_namespace(Namespace kind, int fd);

  Command& hostname(std::string name);

  // Need a mount namespace: made (then no mount of the child's is seen outside), or entered.
  Command& mount(Mount mount);
  // The child's root: by pivot_root(2), after which nothing of the old one is left, or by
  // chroot(2), which needs no mount namespace. For pivot_root the directory is bound to itself.
  enum class Root : std::uint8_t { kPivot, kChroot };
  Command& root(std::string path, Root how);

  // Called in the parent, on the fiber or thread that spawns, when the child is there and waits:
  // to write its maps, configure its network namespace, put it into a cgroup. May park. An error is
  // spawn()'s, and an exception leaves spawn(), when the child has been killed and reaped.
  Command& before_exec(std::function<StepResult<void>(const Newborn&)> function);

  // Loaded last, just before the exec; sets no_new_privs. A child whose exec fails under a filter
  // that forbids exit_group() is ended by a trap, and the error is that of the exec.
  Command& seccomp(SeccompFilter filter);

  // Starts it. Blocks the thread until the child's exec has succeeded or failed; parks only in
  // before_exec(). The Child belongs to the calling fiber's runtime or the given one.
  // Errors: the step that failed; kInvalidArgument (text with NULs, and what is said above);
  // kNotSupported. Nothing is left of a child that could not be started.
  // REQUIRES: without `runtime`, called on a fiber.
  [[nodiscard]] StepResult<Child> spawn() const;
  [[nodiscard]] StepResult<Child> spawn(Runtime& runtime) const;

  // Starts it and waits for its end; kills it at the deadline (kTimedOut). May park. Errors:
  // spawn()'s and, with the step "wait for the child", those of Child::wait(). REQUIRES: on a
  // fiber.
  [[nodiscard]] StepResult<ExitStatus> run(Deadline deadline = {}) const;

  // Starts it with pipes as its streams (an input that was set with standard_input() is kept if
  // there is nothing to be written), reads both to their ends, and waits for it. What it wrote
  // before it ended is there whole; what processes of its own that still hold its pipes write later
  // is not waited for. On any error the child has been killed and reaped.
  // Errors: spawn()'s; kTimedOut, kCancelled, EMSGSIZE; kStacksExhausted. REQUIRES: on a fiber.
  [[nodiscard]] StepResult<Output> output(const OutputOptions& options = {}) const;

  // For the library's own rooms and its tests.
  [[nodiscard]] const detail::CommandSpec& spec() const noexcept { return *spec_; }

 private:
  std::unique_ptr<detail::CommandSpec> spec_;
};

}  // namespace rearm
