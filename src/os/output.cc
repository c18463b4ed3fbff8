// Command's conveniences: a child from its start to its end, and what it wrote.
#include <cerrno>
#include <new>
#include <utility>

#include "base/errno.h"
#include "net/fd_access.h"
#include "os/command_spec.h"
#include "os/launch.h"
#include "rearm/fiber.h"
#include "rearm/os/command.h"

namespace rearm {

using detail::step_failed;

StepResult<Child> Command::spawn() const { return spawn(detail::FdAccess::current_runtime()); }

StepResult<Child> Command::spawn(Runtime& runtime) const { return detail::launch(*spec_, runtime); }

StepResult<ExitStatus> Command::run(Deadline deadline) const {
  auto child = spawn();
  if (!child) return std::unexpected(child.error());
  const auto status = child->wait(deadline);
  if (!status) return step_failed("wait for the child", status.error());
  return *status;
}

namespace {

// Reads until the stream's end, or until it is told to take only what is there (an immediate
// standing deadline). Ends the child at the limit.
std::error_code read_all(Stream& stream, std::string& text, std::size_t max_bytes, Child& child) {
  constexpr std::size_t kStep = std::size_t{64} << 10;
  try {
    for (;;) {
      const std::size_t before = text.size();
      // One byte more than is allowed tells that there is more.
      const std::size_t room = max_bytes - before < kStep ? max_bytes - before + 1 : kStep;
      text.resize(before + room);
      const auto n = stream.read_some({text.data() + before, room});
      text.resize(before + n.value_or(0));
      if (!n) return n.error() == Errc::kTimedOut ? std::error_code() : n.error();
      if (*n == 0) return {};
      if (text.size() > max_bytes) {
        text.resize(max_bytes);
        (void)child.kill();
        return detail::error_of(-EMSGSIZE);
      }
    }
  } catch (const std::bad_alloc&) {
    (void)child.kill();
    return detail::error_of(-ENOMEM);
  }
}

// A fiber that works on what is its parent's: it has ended before that is gone.
class Helper {
 public:
  template <class F>
  [[nodiscard]] std::error_code start(F&& function, const char* name) {
    auto handle = try_spawn([this, function = std::forward<F>(function)] { error_ = function(); },
                            {.name = name});
    if (!handle) return handle.error();
    handle_ = std::move(*handle);
    return {};
  }
  Helper() = default;
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper() { static_cast<void>(finish()); }

  std::error_code finish() {
    if (handle_.joinable()) handle_.join();
    return error_;
  }

 private:
  JoinHandle<void> handle_;
  std::error_code error_;
};

// The helpers of one output(), in the order in which they must go.
class Conversation {
 public:
  Conversation(Child& child, Output& output) : child_(child), output_(output) {}
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation() {
    static_cast<void>(child_.kill());
    static_cast<void>(stop());
  }

  [[nodiscard]] std::error_code start(const OutputOptions& options) {
    const std::size_t limit = options.max_bytes;
    if (const auto error = out_.start(
            [this, limit] {
              return read_all(child_.standard_output(), output_.standard_output, limit, child_);
            },
            "standard output")) {
      return error;
    }
    if (const auto error = err_.start(
            [this, limit] {
              return read_all(child_.standard_error(), output_.standard_error, limit, child_);
            },
            "standard error")) {
      return error;
    }
    if (options.input.empty()) return {};
    return in_.start(
        [this, input = options.input] {
          Stream& stream = child_.standard_input();
          const auto written = stream.write_all({input.data(), input.size()});
          (void)stream.close();
          // A child that does not read all of it may be right.
          static_cast<void>(written);
          return std::error_code();
        },
        "standard input");
  }

  // The child has ended: what is in its pipes is all of its own.
  [[nodiscard]] std::error_code stop() {
    (void)child_.standard_input().close();
    (void)child_.standard_output().set_read_deadline(Deadline::immediate());
    (void)child_.standard_error().set_read_deadline(Deadline::immediate());
    const std::error_code out = out_.finish();
    const std::error_code err = err_.finish();
    static_cast<void>(in_.finish());
    return out ? out : err;
  }

 private:
  Child& child_;
  Output& output_;
  Helper out_;
  Helper err_;
  Helper in_;
};

}  // namespace

StepResult<Output> Command::output(const OutputOptions& options) const {
  Command command(*this);
  command.standard_output(Stdio::pipe());
  command.standard_error(Stdio::pipe());
  if (!options.input.empty()) command.standard_input(Stdio::pipe());
  auto child = command.spawn();
  if (!child) return std::unexpected(child.error());

  Output output;
  Conversation conversation(*child, output);
  if (const auto error = conversation.start(options)) return step_failed("spawn a fiber", error);
  const auto status = child->wait(options.deadline);
  if (!status) return step_failed("wait for the child", status.error());
  if (const auto error = conversation.stop()) return step_failed("read the child's output", error);
  output.status = *status;
  return output;
}

}  // namespace rearm
