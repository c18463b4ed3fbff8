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

// `listened` says of a socket whether it listened when the filter was attached.
[[nodiscard]] Reading run_read(int fd, FileKind kind, bool listened, const Quirks& quirks);
[[nodiscard]] Reading run_write(int fd, FileKind kind, const Quirks& quirks);

// What attaching the filter is refused with; 0 if it is not.
[[nodiscard]] int refusal_of_read(int fd, FileKind kind, const Quirks& quirks);
[[nodiscard]] int refusal_of_write(int fd, FileKind kind, const Quirks& quirks);

[[nodiscard]] bool is_listening(int fd, FileKind kind);

}  // namespace rearm::test::kqueue_emulation
