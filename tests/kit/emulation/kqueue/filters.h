// The filters of descriptors: what EVFILT_READ and EVFILT_WRITE find when they are run.
#pragma once

#include <cstdint>

#include "emulation/kqueue/kqueue_emulation.h"

namespace rearm::test::kqueue_emulation {

enum class FileKind : std::uint8_t {
  kPipe,
  kFifo,    // With a name in the file system.
  kStream,  // A socket that connects: stream or seqpacket.
  kDatagram,
  kOther,  // A terminal, an eventfd, another kqueue …
};

// REQUIRES: fd is open.
[[nodiscard]] FileKind kind_of(int fd);

// What a filter found: whether it has something to report, and what.
struct Reading {
  bool active = false;
  bool end = false;  // EV_EOF.
  std::int64_t data = 0;
};

[[nodiscard]] Reading run_read(int fd, FileKind kind, const Quirks& quirks);
[[nodiscard]] Reading run_write(int fd, FileKind kind, const Quirks& quirks);

// Whether `fd` writes into a pipe that nobody reads.
[[nodiscard]] bool is_broken_pipe(int fd, FileKind kind);

}  // namespace rearm::test::kqueue_emulation
