#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/errno.h"
#include "net/fd_access.h"
#include "os/launch.h"
#include "poller/fd_flags.h"

namespace rearm::detail {
namespace {

constexpr const char* kStreamNames[3] = {"standard input", "standard output", "standard error"};

[[nodiscard]] int open_flags(Stdio::Open how) {
  switch (how) {
    case Stdio::Open::kRead: return O_RDONLY;
    case Stdio::Open::kTruncate: return O_WRONLY | O_CREAT | O_TRUNC;
    case Stdio::Open::kAppend: return O_WRONLY | O_CREAT | O_APPEND;
  }
  return O_RDONLY;
}

// Without O_NONBLOCK a FIFO would hold the thread until its other end is opened.
[[nodiscard]] Result<OwnedNumber> open_file(const char* path, Stdio::Open how) {
  const int number = ::open(path, open_flags(how) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
  if (number < 0) return std::unexpected(last_error());
  OwnedNumber file(number);
  const int flags = ::fcntl(number, F_GETFL);
  if (flags < 0 || ::fcntl(number, F_SETFL, flags & ~O_NONBLOCK) < 0) {
    return std::unexpected(last_error());
  }
  return file;
}

// Both ends non-blocking and close-on-exec; the child's is made to block again.
struct StreamPipe {
  OwnedNumber childs;
  Stream parents;
};

[[nodiscard]] Result<StreamPipe> open_stream_pipe(Runtime& runtime, bool child_reads) {
  std::array<int, 2> ends;
  if (const auto error = open_pipe(ends)) return std::unexpected(error);
  StreamPipe pipe;
  pipe.childs = OwnedNumber(ends[child_reads ? 0 : 1]);
  auto parents = FdAccess::adopt_own(runtime, ends[child_reads ? 1 : 0], 0);
  if (!parents) return std::unexpected(parents.error());
  pipe.parents = FdAccess::stream(std::move(*parents));
  const int flags = ::fcntl(pipe.childs.get(), F_GETFL);
  if (flags < 0 || ::fcntl(pipe.childs.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) {
    return std::unexpected(last_error());
  }
  return pipe;
}

// The parent's number for the stream.
[[nodiscard]] Result<int> open_stream(const Stdio& stream, int number, Runtime& runtime,
                                      ChildFds& fds) {
  const auto open_null = [&]() -> Result<int> {
    auto null = open_file("/dev/null", number == 0 ? Stdio::Open::kRead : Stdio::Open::kAppend);
    if (!null) return std::unexpected(null.error());
    return fds.child_ends.emplace_back(std::move(*null)).get();
  };
  switch (stream.kind()) {
    case Stdio::Kind::kInherit: {
      // Where the program has closed its own, something else may have got the number, such as the
      // runtime's poller: what an exec would close is no stream to be handed on.
      const int flags = ::fcntl(number, F_GETFD);
      return flags < 0 || (flags & FD_CLOEXEC) != 0 ? open_null() : Result<int>(number);
    }
    case Stdio::Kind::kNull: return open_null();
    case Stdio::Kind::kFd:
      if (stream.number() < 0) return std::unexpected(Errc::kInvalidArgument);
      return stream.number();
    case Stdio::Kind::kFile: {
      if (stream.path().find('\0') != std::string::npos) {
        return std::unexpected(Errc::kInvalidArgument);
      }
      auto file = open_file(stream.path().c_str(), stream.how());
      if (!file) return std::unexpected(file.error());
      return fds.child_ends.emplace_back(std::move(*file)).get();
    }
    case Stdio::Kind::kPipe: {
      auto pipe = open_stream_pipe(runtime, /*child_reads=*/number == 0);
      if (!pipe) return std::unexpected(pipe.error());
      fds.parents_ends[static_cast<std::size_t>(number)] = std::move(pipe->parents);
      return fds.child_ends.emplace_back(std::move(pipe->childs)).get();
    }
    case Stdio::Kind::kSameAsOutput:
      if (number != 2) return std::unexpected(Errc::kInvalidArgument);
      return fds.placed[1].source;
  }
  return std::unexpected(Errc::kInvalidArgument);
}

}  // namespace

StepResult<ChildFds> ChildFds::open(const CommandSpec& spec, Runtime& runtime) {
  ChildFds fds;
  fds.placed.reserve(3 + spec.passed.size());
  for (int number = 0; number < 3; ++number) {
    const Stdio& stream = spec.streams[number];
    const auto source = open_stream(stream, number, runtime, fds);
    if (!source) {
      std::string step = kStreamNames[number];
      if (stream.kind() == Stdio::Kind::kFile) step += ": open " + stream.path();
      return step_failed(std::move(step), source.error());
    }
    fds.placed.push_back({.source = *source, .number = number});
  }
  for (const CommandSpec::PassedFd& passed : spec.passed) {
    const std::string step =
        "pass fd " + std::to_string(passed.fd) + " as " + std::to_string(passed.number);
    if (passed.fd < 0 || passed.number < 0) return step_failed(step, Errc::kInvalidArgument);
    if (std::ranges::any_of(fds.placed,
                            [&](const Placed& one) { return one.number == passed.number; })) {
      return step_failed(step + ": given twice", Errc::kInvalidArgument);
    }
    fds.placed.push_back({.source = passed.fd, .number = passed.number});
  }
  return fds;
}

}  // namespace rearm::detail
