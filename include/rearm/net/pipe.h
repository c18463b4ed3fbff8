// Pipe: a pipe(2) whose ends are streams.
#pragma once

#include "rearm/error.h"
#include "rearm/net/stream.h"

namespace rearm {

struct Pipe {
  Stream read_end;
  Stream write_end;

  // For the calling fiber's runtime or the given one. Errors: EMFILE, ENFILE, ENOMEM.
  [[nodiscard]] static Result<Pipe> create() noexcept;
  [[nodiscard]] static Result<Pipe> create(Runtime& runtime) noexcept;
};

}  // namespace rearm
