// launch() by clone3() and a plan (plan.h).
//
// How the parent learns that the exec has succeeded, and that its memory is its own again. A plain
// child is waited for in the clone itself (CLONE_VFORK). One for which the parent must do something
// meanwhile cannot be; it holds one end of a pipe, close-on-exec, whose other end reads as ended
// when the exec has happened or the child is gone: the kernel gives the memory up before it closes
// what is close-on-exec, in both cases. What went wrong is in Report, in shared memory.
//
// Rejected. A copy of the page tables (fork) for every child: 4 GiB of them cost milliseconds.
// Shared memory for children with other user IDs: any process of that user could take the child
// over, which writes the parent's memory, while it has not executed anything; the kernel forbids
// that by making the memory undumpable, the parent's with it.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "base/errno.h"
#include "os/child_stack.h"
#include "os/child_state.h"
#include "os/id_map_file.h"
#include "os/launch.h"
#include "os/plan.h"
#include "os/plan_builder.h"
#include "rearm/runtime.h"

namespace rearm::detail {
namespace {

// What the child writes. Its page is shared even where the rest of the memory is copied.
class SharedPage {
 public:
  struct Content {
    Report report;
    unsigned calls = 0;
  };

  explicit SharedPage(bool is_mapped) {
    if (!is_mapped) return;
    void* const page =
        ::mmap(nullptr, sizeof(Content), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    content_ = page == MAP_FAILED ? nullptr : new (page) Content;
  }
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;
  ~SharedPage() {
    if (content_ != nullptr && content_ != &own_) ::munmap(content_, sizeof(Content));
  }

  // nullptr: no memory.
  [[nodiscard]] Content* get() noexcept { return content_; }

 private:
  Content own_;
  Content* content_ = &own_;
};

struct RawPipe {
  OwnedNumber read_end;
  OwnedNumber write_end;

  // Close-on-exec, blocking, and both above `below`, where no descriptor of the child's is put.
  [[nodiscard]] std::error_code open(int below) {
    std::array<int, 2> ends;
    if (::pipe2(ends.data(), O_CLOEXEC) < 0) return last_error();
    read_end = OwnedNumber(ends[0]);
    write_end = OwnedNumber(ends[1]);
    for (OwnedNumber* end : {&read_end, &write_end}) {
      if (end->get() > below) continue;
      const int moved = ::fcntl(end->get(), F_DUPFD_CLOEXEC, below + 1);
      if (moved < 0) return last_error();
      *end = OwnedNumber(moved);
    }
    return {};
  }
};

class Launch {
 public:
  Launch(const CommandSpec& spec, Runtime& runtime, const Injection& injection)
      : spec_(spec), runtime_(runtime), injection_(injection), builder_(spec) {}

  [[nodiscard]] StepResult<Child> run();

 private:
  [[nodiscard]] StepResult<void> prepare();
  [[nodiscard]] StepResult<void> do_parents_part(const Newborn& newborn);
  void wait_for_exec();
  [[nodiscard]] StepResult<void> look_at_report(UnclaimedChild& child);
  [[nodiscard]] StepError exec_error(unsigned op, int error) const;

  const CommandSpec& spec_;
  Runtime& runtime_;
  const Injection& injection_;
  PlanBuilder builder_;
  ChildFds fds_;
  bool parent_has_part_ = false;
  CloneOptions options_;
  RawPipe go_;
  RawPipe gone_;
};

StepResult<void> Launch::prepare() {
  auto fds = ChildFds::open(spec_, runtime_);
  if (!fds) return std::unexpected(fds.error());
  fds_ = std::move(*fds);
  int highest = 2;
  for (const ChildFds::Placed& one : fds_.placed) highest = std::max(highest, one.number);

  parent_has_part_ = spec_.user_maps || spec_.before_exec;
  options_.shares_memory = builder_.may_share_memory();
  options_.waits = options_.shares_memory && !parent_has_part_;
  if (parent_has_part_) {
    if (const auto error = go_.open(highest)) return step_failed("pipe", error);
  }
  if (!options_.waits) {
    if (const auto error = gone_.open(highest)) return step_failed("pipe", error);
  }
  if (auto built = builder_.build(fds_.placed, go_.read_end.get()); !built) return built;
  options_.namespaces = builder_.clone_flags();
  options_.cgroup = spec_.cgroup.value_or(-1);
  Plan& plan = builder_.plan();
  plan.unused_fds[0] = go_.write_end.get();
  plan.unused_fds[1] = gone_.read_end.get();
  plan.injection = injection_;
  if (spec_.user_maps) {
    if (auto good = check_id_map(spec_.user_maps->uid, "uid map"); !good) return good;
    if (auto good = check_id_map(spec_.user_maps->gid, "gid map"); !good) return good;
  }
  return {};
}

StepResult<Child> Launch::run() {
  if (auto prepared = prepare(); !prepared) return std::unexpected(prepared.error());
  SharedPage page(!options_.shares_memory);
  if (page.get() == nullptr) return step_failed("clone", ENOMEM);
  Plan& plan = builder_.plan();
  plan.report = &page.get()->report;
  plan.calls = &page.get()->calls;
  ChildStack stack;

  const Cloned cloned = clone_child(plan, options_, stack.lowest(), ChildStack::kBytes);
  if (cloned.pid < 0) return step_failed("clone", static_cast<int>(-cloned.pid));
  const int pid = static_cast<int>(cloned.pid);
  OwnedNumber pidfd(cloned.pidfd);
  {
    // Its memory is ours until it is gone, whatever throws: the child is killed and reaped first.
    UnclaimedChild child(pid, pidfd.get());
    if (parent_has_part_) {
      if (auto done = do_parents_part({.pid = pid, .pidfd = pidfd.get()}); !done) {
        return std::unexpected(done.error());
      }
    }
    if (!options_.waits) wait_for_exec();
    if (auto good = look_at_report(child); !good) return std::unexpected(good.error());
    child.claim();
  }
  auto state = ChildState::take(runtime_, pid, pidfd.release());
  if (!state) return step_failed("watch the child", state.error());
  (*state)->has_own_group = spec_.new_session || (spec_.process_group && *spec_.process_group == 0);
  return ChildState::make_child(std::move(*state), std::move(fds_.parents_ends[0]),
                                std::move(fds_.parents_ends[1]), std::move(fds_.parents_ends[2]));
}

StepResult<void> Launch::do_parents_part(const Newborn& newborn) {
  if (spec_.user_maps) {
    const auto directory = ChildDirectory::open(newborn.pid, newborn.pidfd);
    if (!directory) return std::unexpected(directory.error());
    const auto& maps = *spec_.user_maps;
    if (auto done = directory->write_id_maps(maps.uid, maps.gid); !done) return done;
  }
  if (spec_.before_exec) {
    if (auto done = spec_.before_exec(newborn); !done) return done;
  }
  // The parent's own reading end is open still, so that a child that is dead makes this neither an
  // error nor a SIGPIPE: its report tells better.
  const char go = 'g';
  const auto n = system_call([&] { return ::write(go_.write_end.get(), &go, 1); });
  if (n < 0) return step_failed("let the child go on", error_of(n));
  return {};
}

void Launch::wait_for_exec() {
  gone_.write_end.reset();
  char byte;
  while (system_call([&] { return ::read(gone_.read_end.get(), &byte, 1); }) == -EINTR) {
  }
}

StepResult<void> Launch::look_at_report(UnclaimedChild& child) {
  const volatile Report& report = *builder_.plan().report;
  const unsigned op = report.op;
  if (report.state == Report::kFailed) {
    const int error = report.error;
    static_cast<void>(child.reap());
    return std::unexpected(exec_error(op, error));
  }
  if (report.state == Report::kAtStep && builder_.is_exec(op)) return {};
  const int signal = child.reap();
  std::string step = report.state == Report::kNotBegun ? "clone" : builder_.describe(op);
  step += ": the child was killed by signal " + std::to_string(signal) + " before its exec";
  return step_failed(std::move(step), ECHILD);
}

// An interpreter that is missing is told by the same errno as the script.
StepError Launch::exec_error(unsigned op, int error) const {
  StepError failed{.code = {error, std::system_category()}, .step = builder_.describe(op)};
  if (!builder_.is_exec(op) || error != ENOENT || spec_.root) return failed;
  const OwnedNumber script(::open(spec_.program.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (script.get() < 0) return failed;
  std::array<char, 256> line{};
  const auto n = ::read(script.get(), line.data(), line.size() - 1);
  if (n <= 2 || line[0] != '#' || line[1] != '!') return failed;
  std::string_view interpreter(&line[2], static_cast<std::size_t>(n - 2));
  interpreter = interpreter.substr(0, interpreter.find('\n'));
  interpreter.remove_prefix(std::min(interpreter.find_first_not_of(" \t"), interpreter.size()));
  interpreter = interpreter.substr(0, interpreter.find_first_of(" \t"));
  failed.step += " (its interpreter " + std::string(interpreter) + ")";
  return failed;
}

}  // namespace

StepResult<Child> launch(const CommandSpec& spec, Runtime& runtime) {
  return launch_injected(spec, runtime, {});
}

StepResult<Child> launch_injected(const CommandSpec& spec, Runtime& runtime,
                                  const Injection& injection) {
  return Launch(spec, runtime, injection).run();
}

}  // namespace rearm::detail
